"""Scale-in as a transaction: quiesce, leave the endpoints, drain, mark, and only then lower `replicas`.

A victim moves on only by what was seen of it: quiesced and out of the EndpointSlice, no request and no
connection more for QUIET_SECONDS, drained, its deletion cost seen back for SEEN_SECONDS. Any step can be
undone by a resume until the pod is told to end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from .plan import VICTIM_COST
from .snapshot import PodPhase, PodState
from .survey import is_silent

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from .snapshot import Pod

QUIET_SECONDS = 2.0
"""How long nothing new may have reached a pod that left the endpoints: proxies learn it late."""
SEEN_SECONDS = 1.0
"""How long the deletion cost was in the watch before `replicas` is lowered: the ReplicaSet has a cache."""


class Victim(Struct, frozen=True):
    """A pod on its way out, and what was last seen of it."""

    name: str
    since: float
    out_since: float | None = None
    """Since when it has been quiesced and in no EndpointSlice."""
    quiet_since: float = 0.0
    accesses: int = -1
    connections: int = -1


def follow(victim: Victim, pod: Pod, now: float) -> Victim:
    """Return the victim after the last line of its pod."""
    report = pod.report
    if report is None or report.state not in (PodState.QUIESCING, PodState.DRAINED) or pod.in_endpoints:
        return replace(victim, out_since=None)
    out_since = now if victim.out_since is None else victim.out_since
    if report.accesses == victim.accesses and report.connections <= victim.connections:
        return replace(victim, out_since=out_since, connections=report.connections)
    return replace(
        victim,
        out_since=out_since,
        quiet_since=report.at,
        accesses=report.accesses,
        connections=report.connections,
    )


def is_drained(victim: Victim, pod: Pod, grace: float, now: float) -> bool:
    """Return whether the pod may get the deletion cost.

    Quiet is measured by the times of the lines, so that silence proves nothing. Past GracefulShutdownTimeout
    a pod counts as drained whatever it still serves: that is httpd's drain deadline, and the pod's own drain
    after TERM still follows.
    """
    if victim.out_since is None or pod.report is None:
        return False
    if now - victim.out_since >= max(grace, QUIET_SECONDS):
        return True
    quiet = pod.report.at - max(victim.out_since, victim.quiet_since) >= QUIET_SECONDS
    return quiet and pod.report.state is PodState.DRAINED


def is_overdue(victim: Victim, pod: Pod, grace: float, now: float) -> bool:
    """Return whether the pod goes by its drain deadline, and not because it is done."""
    late = victim.out_since is not None and now - victim.out_since >= max(grace, QUIET_SECONDS)
    return late and pod.report is not None and pod.report.state is not PodState.DRAINED


def is_marked(pod: Pod, now: float) -> bool:
    """Return whether the deletion cost was seen back long enough."""
    return (
        pod.deletion_cost == VICTIM_COST
        and pod.deletion_cost_at is not None
        and now - pod.deletion_cost_at >= SEEN_SECONDS
    )


def busy_at_choice(pods: Iterable[Pod], names: Collection[str]) -> tuple[int, int]:
    """Return the requests in service on the pods called `names`, and on as many of the newest.

    Newest first is what a ReplicaSet takes when nobody tells it better.
    """
    accepting = [
        pod
        for pod in pods
        if pod.phase is PodPhase.READY and pod.report is not None and pod.report.state is PodState.SERVING
    ]
    chosen = [pod for pod in accepting if pod.name in names]
    newest = sorted(accepting, key=lambda pod: -pod.created_at)[: len(chosen)]
    return _busy(chosen), _busy(newest)


def _busy(pods: Iterable[Pod]) -> int:
    return sum([pod.report.busy for pod in pods if pod.report is not None])


def choose(accepting: Iterable[Pod], count: int, now: float) -> list[Pod]:
    """Return up to `count` pods to quiesce: the idlest first, then from the fullest zone, then the youngest.

    Silent pods are never chosen: nobody knows what they serve.
    """
    candidates = [pod for pod in accepting if not is_silent(pod, now)]
    crowd: dict[str, int] = {}
    for pod in candidates:
        crowd[pod.zone] = crowd.get(pod.zone, 0) + 1

    def rank(pod: Pod) -> tuple[bool, int, int, int, float, str]:
        report = pod.report
        assert report is not None
        load = report.busy + report.queue
        return (pod.current, load, -crowd[pod.zone], report.connections, -pod.created_at, pod.name)

    return sorted(candidates, key=rank)[: max(0, count)]
