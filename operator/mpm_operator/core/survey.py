"""What the pods of a snapshot amount to: who accepts, who starts, what is busy; one pass over the pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from .plan import QUIESCE_TTL_SECONDS, VICTIM_COST, Totals
from .snapshot import PodPhase, PodState

if TYPE_CHECKING:
    from collections.abc import Collection

    from .snapshot import Pod, Snapshot

SILENT_SECONDS = 3.0
"""A pod that sent no line for so long keeps its last load and is never a victim."""
FRESH_SECONDS = 3.0
YOUNG_MS = 30_000
"""A pod so young has all its slots soon: like a just-forked child of httpd it counts as idle. Later, one that
is out of idle slots has only those it shows: the memory guard may refuse the others."""
START_DEADLINE_SECONDS = 600.0
"""A pod that starts counts as idle so long: the progress deadline of a Deployment."""


class Survey(Struct):
    """The pods by what they are to the planner, and their sums. Every living pod is in exactly one list."""

    accepting: list[Pod] = field(default_factory=list)
    """Ready and serving; also ready pods that never sent a line (they get the benefit of the doubt)."""
    starting: list[Pod] = field(default_factory=list)
    """Will accept: starting within the deadline, or serving and about to be ready again."""
    victims: list[Pod] = field(default_factory=list)
    """Chosen to go, and not yet told to end."""
    strays: list[Pod] = field(default_factory=list)
    """Quiesced, and nobody's victim: left by an operator that is gone; they are told to serve again."""
    broken: list[Pod] = field(default_factory=list)
    """Cannot start, or neither ready nor serving."""
    doubtful: int = 0
    """Of these, the ones that served when they fell silent: nobody knows what they serve still."""
    terminating: list[Pod] = field(default_factory=list)
    costed: list[str] = field(default_factory=list)
    """Pods with the deletion cost of victims that were not told to end."""
    unseen: int = 0
    """Pods that the Deployment asks for and nobody has seen."""
    silent: int = 0
    """Accepting pods without a line for SILENT_SECONDS, or without any line."""
    unheard: int = 0
    """Accepting pods without any line ever."""
    busy: int = 0
    queue: int = 0
    squares: int = 0
    """Sum over accepting pods of (busy + queue) squared: how evenly they are loaded."""
    slots: int = 0
    """Slots of accepting pods, burst threads not counted: they are a help, not a capacity to plan with."""
    newest: float = float("-inf")
    """When the last of the accepting pods became ready."""
    fresh: bool = False
    """A pod began to accept within FRESH_SECONDS: what was lost was lost before it came."""
    cpus: float = 0.0
    """CPUs of the accepting pod that may use the fewest, one a server at most (the interpreter's lock);
    0 = no pod tells."""
    shown: Totals = field(default_factory=Totals)
    """The sums as pods report them, burst included: for `status.workers`."""

    @property
    def has_unheard(self) -> bool:
        """Whether there is a pod that sent no line yet."""
        others = (*self.starting, *self.broken, *self.victims, *self.strays, *self.terminating)
        return bool(self.unseen or self.unheard or any(pod.report is None for pod in others))

    @property
    def load(self) -> int:
        """Slots wanted at this moment: busy ones and everything that waits."""
        return self.busy + self.queue

    @property
    def dispersion(self) -> float | None:
        """Variance over mean of the pods' loads; None where nothing can be said.

        About 1 when connections are dealt at random, near 0 when the least busy pod gets the next one.
        """
        pods = len(self.accepting) - self.unheard
        mean = self.load / pods if pods > 1 else 0.0
        return (self.squares - pods * mean * mean) / (pods - 1) / mean if mean > 1 else None

    @property
    def have(self) -> int:
        """Pods that accept or will."""
        return len(self.accepting) + self.coming

    @property
    def coming(self) -> int:
        """Pods that will accept."""
        return len(self.starting) + len(self.strays) + self.unseen

    @property
    def expendable(self) -> int:
        """Broken pods that a ReplicaSet takes before any other and that serve nobody.

        A ready one that ends by itself is not among them, nor is a doubtful one.
        """
        return sum(pod.phase is not PodPhase.READY for pod in self.broken) - self.doubtful

    @property
    def living(self) -> int:
        """Pods that the Deployment counts: all that were not told to end, unseen ones included."""
        return self.have + len(self.victims) + len(self.broken)


def is_silent(pod: Pod, now: float) -> bool:
    """Return whether what the pod said last is too old to act on."""
    return pod.report is None or now - pod.report.at > SILENT_SECONDS


def is_ending(pod: Pod) -> bool:
    """Return whether a ready pod was told to end, by its own word: it is quicker than the watch."""
    stopping = pod.report is not None and pod.report.state is PodState.STOPPING
    return stopping and pod.phase is PodPhase.READY


def survey(snapshot: Snapshot, victims: Collection[str], now: float) -> Survey:
    """Sort the pods and add them up."""
    seen = Survey()
    per_pod, processes = snapshot.effective.slots_per_pod, snapshot.effective.processes_per_pod
    busy = idle = total = queue = squares = 0
    cpus = float("inf")
    newest = float("-inf")
    accepting = seen.accepting
    ready, serving = PodPhase.READY, PodState.SERVING
    for pod in snapshot.pods:
        report = pod.report
        if pod.deletion_cost == VICTIM_COST and pod.phase is not PodPhase.TERMINATING:
            seen.costed.append(pod.name)
        plain = pod.phase is ready and report is not None and report.state is serving
        kind = accepting if plain and pod.name not in victims else _kind(seen, pod, victims, now)
        kind.append(pod)
        if kind is not accepting:
            continue
        if pod.ready_at is not None and pod.ready_at > newest:
            newest = pod.ready_at
        if report is None:
            seen.unheard += 1
            seen.silent += 1
            seen.slots += per_pod
            continue
        if now - report.at > SILENT_SECONDS:
            seen.silent += 1
        busy += report.busy
        idle += report.idle
        total += report.total
        queue += report.queue
        load = report.busy + report.queue
        squares += load * load
        if report.cpu_quota < cpus:
            cpus = report.cpu_quota
        young = report.uptime_ms < YOUNG_MS
        seen.slots += per_pod if young or report.idle else min(report.total, per_pod)
    seen.busy, seen.queue, seen.squares = busy, queue, squares
    seen.newest = newest
    seen.fresh = now - newest < FRESH_SECONDS
    seen.cpus = min(cpus, processes) if cpus < float("inf") else 0.0
    seen.shown = Totals(busy=busy, idle=idle, total=total, queue=queue)
    if snapshot.replicas is not None:
        seen.unseen = max(0, snapshot.replicas - seen.living)
    return seen


def _kind(seen: Survey, pod: Pod, victims: Collection[str], now: float) -> list[Pod]:
    phase = pod.phase
    if phase is PodPhase.TERMINATING:
        return seen.terminating
    if pod.name in victims:
        return seen.victims
    if phase is PodPhase.STARTING:
        return seen.starting if now - pod.created_at <= START_DEADLINE_SECONDS else seen.broken
    if phase is PodPhase.FAILED:
        return seen.broken
    state = pod.report.state if pod.report is not None else PodState.SERVING
    if state in (PodState.QUIESCING, PodState.DRAINED):
        # Silent for longer than its quiesce lasts: what it said is no promise to serve again.
        gone = pod.report is not None and now - pod.report.at > QUIESCE_TTL_SECONDS
        return seen.broken if gone else seen.strays
    if phase is PodPhase.READY:
        return seen.broken if state is PodState.STOPPING else seen.accepting
    if pod.report is None or state is not PodState.SERVING:
        return seen.broken
    if not is_silent(pod, now):
        return seen.starting
    # A supervisor that hangs answers no probe either, while its children serve what they have.
    seen.doubtful += now - pod.report.at <= START_DEADLINE_SECONDS
    return seen.broken
