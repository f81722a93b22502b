"""What a data plane has to answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mpm_operator.core.effective import Effective
    from mpm_operator.core.spec import WebServerSpec

Setting = int | float | bool


class Engine(Protocol):
    """One data plane: values in, values out.

    A setting is in `settings` when a running pod can take it over, and in `rollout` when only a new pod can.
    Both are in `config`, because both are what a pod boots with.
    """

    def config(self, spec: WebServerSpec, effective: Effective) -> dict[str, str]:
        """Configuration files of the server: file name → content."""
        ...

    def settings(self, effective: Effective) -> dict[str, Setting]:
        """Live settings by the names of `PUT /control` (docs/contracts.md, section 1)."""
        ...

    def arguments(self, spec: WebServerSpec, effective: Effective) -> tuple[str, ...]:
        """What only a new pod can have, for the command line, which wins over the file.

        An old pod whose container starts again during a rollout is then still what it was.
        """
        ...

    def rollout(self, spec: WebServerSpec, effective: Effective) -> dict[str, Any]:
        """Settings whose change needs new pods; compared as a whole, never sent anywhere."""
        ...
