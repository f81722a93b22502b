"""What a run shows: one value a moment, and who shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from mpm_operator.core.snapshot import PodPhase

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mpm_operator.core.plan import Plan
    from mpm_operator.core.snapshot import Pod


@dataclass(frozen=True, slots=True)
class LoadLine:
    """What the demo load says of itself."""

    clients: int = 0
    requests: int = 0
    failures: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """One moment of a run."""

    at: float
    """Seconds since the run began."""
    name: str
    url: str
    mpm: str
    pods: Sequence[Pod]
    plan: Plan
    processes: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Pod name → `processes` of its scoreboard."""
    load: LoadLine | None = None

    @property
    def ready(self) -> int:
        """Pods that serve."""
        return sum(pod.phase is PodPhase.READY for pod in self.pods)

    @property
    def threads(self) -> int:
        """Threads of all servers of the pods that serve."""
        return sum(
            pod.report.servers * pod.report.threads_per_child
            for pod in self.pods
            if pod.report is not None and pod.phase is PodPhase.READY
        )

    @property
    def accesses(self) -> int:
        """Requests completed by the pods that are there."""
        return sum(pod.report.accesses for pod in self.pods if pod.report is not None)


class Display(Protocol):
    """Shows a run to somebody."""

    wants_processes: bool
    """Whether it shows letters: then every pod is asked for its `processes`."""

    def show(self, view: View) -> None:
        """Show this moment."""
        ...

    def say(self, text: str) -> None:
        """Show a sentence that stays."""
        ...

    def close(self) -> None:
        """Give the terminal back."""
        ...
