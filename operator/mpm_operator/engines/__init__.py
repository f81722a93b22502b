"""The data planes: how the directives become the settings of the server in the pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpm_operator.core.spec import Engine as EngineName

from .builtin import BuiltinEngine

if TYPE_CHECKING:
    from .protocol import Engine

__all__ = ["engine"]

_ENGINES: dict[EngineName, Engine] = {EngineName.BUILTIN: BuiltinEngine()}


def engine(name: EngineName) -> Engine:
    """The engine that `spec.engine` names."""
    return _ENGINES[name]
