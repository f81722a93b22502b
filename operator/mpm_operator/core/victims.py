"""Scale-in as a transaction: quiesce, leave the endpoints, drain, mark, and only then lower `replicas`.

A shrink is never urgent: a victim quiesces at a moment without a request, for which it waits PATIENCE_SECONDS
at most. Its pod looks for that moment, because a line a second tells nothing of requests that take
milliseconds; until it has come, an idler pod may take the victim's place.

From then on a victim moves on only by what was seen of it: quiesced and out of the EndpointSlice, no request
and no connection more for QUIET_SECONDS, drained, its deletion cost seen back for SEEN_SECONDS. Any step can
be undone by a resume until the pod is told to end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from .plan import VICTIM_COST
from .snapshot import PodPhase, PodState
from .survey import is_silent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .snapshot import Pod

QUIET_SECONDS = 2.0
"""How long nothing new may have reached a pod that left the endpoints: proxies learn it late."""
PATIENCE_SECONDS = 10.0
"""How long a victim may wait for a moment without a request, before it quiesces whatever it serves."""
HASTE_SECONDS = 2.0
"""The same where directives can be in force only when the pods have gone."""
SOON = 6
"""Requests in a pod up to which such a moment is waited for: of 500 looks in PATIENCE_SECONDS one finds a pod
without a request that has six on average (Poisson). Pods that are always fuller lose no time."""
TRY_SECONDS = 1.0
"""How long a pod is asked before an idler one may take its place."""
SEEN_SECONDS = 1.0
"""How long the deletion cost was in the watch before `replicas` is lowered: the ReplicaSet has a cache."""


class Victim(Struct, frozen=True):
    """A pod on its way out, and what was last seen of it."""

    name: str
    since: float
    """When this pod was chosen."""
    until: float = float("-inf")
    """It waits so long for a moment without a request."""
    busy: int | None = None
    """Requests in service when it had quiesced; None = it has not yet."""
    out_since: float | None = None
    """Since when it has been quiesced and in no EndpointSlice."""
    quiet_since: float = 0.0
    accesses: int = -1
    connections: int = -1


def follow(victim: Victim, pod: Pod, now: float) -> Victim:
    """Return the victim after the last line of its pod."""
    report = pod.report
    if report is None or report.state not in (PodState.QUIESCING, PodState.DRAINED):
        return replace(victim, out_since=None)
    if victim.busy is None:
        victim = replace(victim, busy=report.busy)
    if pod.in_endpoints:
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


def busy_at_choice(
    before: Iterable[Victim], after: Iterable[Victim], pods: Iterable[Pod]
) -> tuple[int, int, int]:
    """Return the victims that quiesced between two plans, their requests in service then, and those of as
    many of the newest pods.

    Newest first is what a ReplicaSet takes when nobody tells it better.
    """
    known = {victim.name for victim in before if victim.busy is not None}
    served = {victim.name: victim.busy or 0 for victim in after if victim.busy is not None}
    served = {name: busy for name, busy in served.items() if name not in known}
    there = [pod for pod in pods if pod.name in served or _serves(pod)]
    newest = sorted(there, key=lambda pod: -pod.created_at)[: len(served)]
    hit = [served.get(pod.name, pod.report.busy) for pod in newest if pod.report is not None]
    return len(served), sum(served.values()), sum(hit)


def _serves(pod: Pod) -> bool:
    return pod.phase is PodPhase.READY and pod.report is not None and pod.report.state is PodState.SERVING


def begin(pod: Pod, now: float, *, haste: bool = False) -> Victim:
    """Return the pod as a victim: it may wait where a moment without a request is to be expected."""
    patience = HASTE_SECONDS if haste else PATIENCE_SECONDS
    return Victim(pod.name, now, until=now + patience if _load(pod) <= SOON else now)


def exchange(
    going: list[Victim], leaving: Iterable[Pod], staying: Iterable[Pod], now: float
) -> tuple[list[Victim], list[str]]:
    """Return the victims, idler pods in the place of those that serve on, and the names of these.

    It is tried for TRY_SECONDS with each; how long they wait in all does not change by it.
    """
    tried = {one.name for one in going if one.busy is None and now - one.since >= TRY_SECONDS}
    serving = [pod for pod in leaving if pod.name in tried and _serves(pod)]
    if not serving:
        return going, []
    serving.sort(key=lambda pod: _urge(pod, now), reverse=True)
    idler = choose(staying, len(serving), now)
    places = {
        old.name: new.name
        for old, new in zip(serving, idler, strict=False)
        if _urge(new, now) < _urge(old, now)
    }
    return [
        replace(one, name=places[one.name], since=now) if one.name in places else one for one in going
    ], list(places)


def waiting(going: Iterable[Victim], now: float) -> list[Victim]:
    """Return the victims that are to quiesce at a moment without a request, and not before."""
    return [one for one in going if one.busy is None and now < one.until]


def choose(accepting: Iterable[Pod], count: int, now: float) -> list[Pod]:
    """Return up to `count` pods to quiesce: the idlest first, then from the fullest zone, then the youngest.

    Silent pods are never chosen: nobody knows what they serve.
    """
    candidates = [pod for pod in accepting if not is_silent(pod, now)]
    crowd: dict[str, int] = {}
    for pod in candidates:
        crowd[pod.zone] = crowd.get(pod.zone, 0) + 1

    def rank(pod: Pod) -> tuple[tuple[bool, float], int, int, float, str]:
        report = pod.report
        assert report is not None
        return (_urge(pod, now), -crowd[pod.zone], report.connections, -pod.created_at, pod.name)

    return sorted(candidates, key=rank)[: max(0, count)]


def _urge(pod: Pod, now: float) -> tuple[bool, float]:
    """Return what decides between two pods first, the less the sooner: an old template's, then the idlest."""
    return pod.current, float("inf") if is_silent(pod, now) else _load(pod)


def _load(pod: Pod) -> int:
    return pod.report.busy + pod.report.queue if pod.report is not None else 0
