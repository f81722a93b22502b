"""The scoreboard of a whole WebServer: pods × servers × threads as one Apache.

A server of httpd's is a server here, so its pages and their readers need no new words. Letters come pod by
pod in the order given, a starting pod shows `S`, and a dot stands for each slot that may still be added
until MaxRequestWorkers: the length of the line is the capacity, as in httpd.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpm_operator import __version__
from mpm_worker.cgroup import Allowance
from mpm_worker.letters import decode
from mpm_worker.listeners import Backlog
from mpm_worker.observe import Load, Resources, Totals
from mpm_worker.procfs import Cpu
from mpm_worker.status import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .parse import Line
    from .tally import Counters

VERSION = f"mpm-operator/{__version__} (Kubernetes)"
"""As ServerVersion; readers split it at the slash and want three numbers."""

UNKNOWN_LOAD = (-1.0, -1.0, -1.0)
"""What httpd prints where the platform has no load average; that of some node would say nothing here."""

_LEAVING = ("Quiescing", "Drained", "Stopping")


@dataclass(frozen=True, slots=True)
class PodLine:
    """One pod with its last line; None: it has not spoken yet."""

    name: str
    line: Line | None
    unheard: float = 0.0
    """Seconds for which it has been ready without a first line."""

    def age(self, clock: float) -> float:
        """Seconds since it spoke last, or since it should have spoken for the first time."""
        return self.unheard if self.line is None else clock - self.line.report.at

    @property
    def state(self) -> str:
        return "Starting" if self.line is None else str(self.line.report.state)

    def letters(self, slots: int) -> str:
        """Of its slots. An older worker sends none: then they are made from its counts."""
        if self.line is None:
            return "S" * slots
        report = self.line.report
        return decode(self.line.shown.letters) or "W" * report.busy + "_" * report.idle


@dataclass(frozen=True, slots=True)
class Frame:
    """What is known of the WebServer itself. Times are seconds."""

    name: str
    """NAMESPACE/NAME."""
    mpm: str
    generation: int
    """`metadata.generation`."""
    slots_per_pod: int
    max_request_workers: int
    built: float
    now: float
    """Wall clock."""
    clock: float
    """Monotonic clock of the lines."""
    uptime: float
    """Since the counters began."""


@dataclass(frozen=True, slots=True)
class Board:
    """One WebServer at one moment: what its pages show."""

    frame: Frame
    counters: Counters
    pods: tuple[PodLine, ...]
    view: View
    """The same as one Apache."""


def board(frame: Frame, pods: Sequence[PodLine], counters: Counters) -> Board:
    """Merge the last lines of all pods with the counters of the WebServer."""
    lines = [pod.line for pod in pods if pod.line is not None]
    letters = "".join(pod.letters(frame.slots_per_pod) for pod in pods)
    letters += "." * (frame.max_request_workers - len(letters))
    view = View(
        version=VERSION,
        mpm=frame.mpm,
        name=frame.name,
        built=frame.built,
        now=frame.now,
        started=frame.now - frame.uptime,
        uptime=frame.uptime,
        generation=max(0, frame.generation - 1),
        load_average=UNKNOWN_LOAD,
        load=_load(lines),
        totals=Totals(counters.accesses, counters.sent, counters.connections, counters.busy_ms),
        resources=Resources(
            Cpu(counters.user_ms / 1000, counters.system_ms / 1000),
            {},
            Allowance(
                sum(line.report.cpu_quota for line in lines),
                sum(line.report.memory_limit for line in lines),
                counters.throttled_ms,
            ),
        ),
        letters=letters,
        servers=sum(line.report.servers for line in lines),
        stopping=sum(line.report.servers for line in lines if line.report.state in _LEAVING),
    )
    return Board(frame, counters, tuple(pods), view)


def _load(lines: Sequence[Line]) -> Load:
    reports, shown = [line.report for line in lines], [line.shown for line in lines]
    return Load(
        busy=sum(report.busy for report in reports),
        idle=sum(report.idle for report in reports),
        queue=sum(report.queue for report in reports),
        backlog=Backlog(
            sum(said.depth for said in shown),
            sum(report.backlog_limit for report in reports),
            sum(report.overflows for report in reports),
        ),
        connections=sum(report.connections for report in reports),
        keep_alive=sum(report.keep_alive for report in reports),
        reading=sum(said.reading for said in shown),
        closing=sum(said.closing for said in shown),
    )
