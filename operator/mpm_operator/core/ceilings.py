"""Thread ceilings: who may have how many slots, so that all together never have more than MaxRequestWorkers.

A pod's supervisor adds threads by itself up to its ceiling. Every pod therefore *claims* what it could have,
max(ceiling x servers, slots it has), and the sum of the claims stays within MaxRequestWorkers at any moment.
Ceilings are lowered first; only what was seen lowered is dealt out again. A raise counts from the moment it
is sent, a cut from the moment it is seen: a control call that got lost, or comes late, then does no harm.

A pod of an older template goes when its successor serves. Until then it keeps the threads it has, because the
new template's may be another MPM's; MaxRequestWorkers may cut it, nothing raises it.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from .grants import Grant, Setting, is_open, may_send, sent
from .plan import Control
from .snapshot import PodState
from .survey import SILENT_SECONDS, is_silent

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from .effective import Effective
    from .snapshot import Pod, Report
    from .survey import Survey

HTTP = frozenset(
    {
        "timeoutSeconds",
        "keepAlive",
        "keepAliveTimeoutSeconds",
        "maxKeepAliveRequests",
        "limitRequestBodyBytes",
    }
)
"""Settings that mean the same whatever the template; those of the MPM are the template's."""
_DEAF = frozenset({PodState.STARTING, PodState.STOPPING})
"""States in which a pod is not worth a call."""


class Deal(Struct, frozen=True):
    """The controls of one plan."""

    lower: tuple[Control, ...]
    controls: tuple[Control, ...]
    grants: Mapping[str, Grant]
    room: int
    """Pods that may be created now."""
    unheard: int
    """Slots that a pod which has not told yet may have."""


class _Terms(NamedTuple):
    """What pods may have in common: sharing out is computed once for all of them."""

    servers: int
    ceiling: int
    """The highest that may be in force."""
    cap: int
    """The highest that each may be given."""
    settled: bool
    """They show that ceiling and every setting wanted."""


class _Seat(Struct, frozen=True):
    """A pod whose ceiling or settings may have to be changed, and its terms."""

    pod: Pod
    report: Report
    servers: int
    ceiling: int
    cap: int


def deal(
    effective: Effective,
    seen: Survey,
    grants: Mapping[str, Grant],
    wanted: int,
    surge: int,
    now: float,
    unheard: int = 0,
) -> Deal:
    """Share MaxRequestWorkers: first boots of `wanted` new and `surge` rolling pods, the rest as burst.

    unheard: what `Deal.unheard` was while settings were in force with which some of these pods were made.
    """
    boot, settings = effective.boot_slots, effective.settings
    unheard = max(unheard, boot)
    open_grants: dict[str, Grant] = {}
    alike: dict[_Terms, list[Pod]] = {}
    fixed = claimed = unheard * seen.unseen + boot * surge
    for pods in _who_say_the_same(seen, grants, now):
        pod, report = pods[0], pods[0].report
        if report is None:
            fixed += unheard * len(pods)
            claimed += unheard * len(pods)
            continue
        grant = grants.get(pod.name)
        if grant is not None and is_open(grant, report, now):
            open_grants[pod.name] = grant
        terms = _terms(pod, report, open_grants.get(pod.name), effective, settings)
        claim = len(pods) * max(terms.ceiling * terms.servers, report.total)
        claimed += claim
        if report.state in _DEAF or is_silent(pod, now):
            fixed += claim
        else:
            alike.setdefault(terms, []).extend(pods)
    for pod in seen.terminating:
        claim = _last_claim(pod, grants.get(pod.name), unheard)
        fixed += claim
        claimed += claim
    lower, controls, room = _share_out(effective, alike, open_grants, fixed, claimed, wanted, now)
    return Deal(lower, controls, open_grants, room, unheard)


def _who_say_the_same(seen: Survey, grants: Mapping[str, Grant], now: float) -> Iterator[list[Pod]]:
    """Yield the living pods; those in a row that say the same of what matters here together.

    Most pods of a WebServer are alike. One with a grant is alone with it.
    """

    def said(pod: Pod) -> object:
        report = pod.report
        if report is None or pod.name in grants:
            return pod.name
        return (
            pod.current,
            report.state,
            report.servers,
            report.total,
            report.threads_ceiling,
            report.thread_limit,
            report.settings,
            now - report.at > SILENT_SECONDS,
        )

    living = (*seen.accepting, *seen.starting, *seen.victims, *seen.strays, *seen.broken)
    return (list(pods) for _, pods in groupby(living, said))


def _terms(
    pod: Pod, report: Report, grant: Grant | None, effective: Effective, settings: Mapping[str, Setting]
) -> _Terms:
    """Return the pod's terms; `grant` = a call that may be in force, `settings` = those wanted."""
    # What it was told to have it will have, and what it has may take long to finish.
    servers = max(report.servers, int(report.settings.get("processes", 1)))
    ceiling = report.threads_ceiling
    if grant is not None:
        servers, ceiling = max(servers, grant.servers), max(ceiling, grant.ceiling)
    settled = grant is None and report.settings == settings
    if not pod.current:
        return _Terms(max(1, servers), ceiling, report.threads_ceiling, settled)
    cap = min(effective.thread_limit, report.thread_limit or effective.thread_limit)
    return _Terms(max(servers, effective.processes_per_pod), ceiling, cap, settled)


def _last_claim(pod: Pod, grant: Grant | None, unheard: int) -> int:
    report = pod.report
    if report is None:
        return unheard
    ceiling = max(report.threads_ceiling, grant.ceiling if grant and grant.boot == report.boot else 0)
    return max(ceiling * report.servers, report.total)


def _share_out(
    effective: Effective,
    alike: Mapping[_Terms, Collection[Pod]],
    grants: dict[str, Grant],
    fixed: int,
    claimed: int,
    wanted: int,
    now: float,
) -> tuple[tuple[Control, ...], tuple[Control, ...], int]:
    """Return the controls that lower and the others, and for how many of the `wanted` pods there is room."""
    boot, limit = effective.boot_slots, effective.max_request_workers
    threads = effective.threads_per_child
    least = sum([min(cap, threads) * servers * len(pods) for (servers, _, cap, _), pods in alike.items()])
    fits = min(wanted, max(0, (limit - fixed - least) // boot))
    level = _level(alike, limit - fixed - boot * fits)
    budget = limit - claimed - boot * fits
    short = sum(
        [
            max(0, min(level, cap) - ceiling) * servers * len(pods)
            for (servers, ceiling, cap, _), pods in alike.items()
        ]
    )
    # Who has more than an equal share gives it back when it is missing elsewhere, and only then.
    over = budget < short
    lower: list[Control] = []
    controls: list[Control] = []
    for seat in _unsettled(alike, level):
        ceiling = seat.report.threads_ceiling
        target = min(level, seat.cap)
        if seat.ceiling > target and (over or ceiling > seat.cap):
            ceiling = target
        elif seat.ceiling > ceiling:
            ceiling = min(target, seat.ceiling)
        elif ceiling < target and budget >= seat.servers:
            ceiling = min(target, ceiling + budget // seat.servers)
            budget -= (ceiling - seat.ceiling) * seat.servers
        cuts, rest = _changes(seat, ceiling, effective, sent(grants, seat.pod.name), claimed <= limit)
        # One call a pod and plan: the cuts first, for others wait for the room they make.
        if cuts:
            if _send(seat, cuts, ceiling, grants, now):
                lower.append(Control(seat.pod.name, cuts))
        elif rest and _send(seat, rest, ceiling, grants, now):
            controls.append(Control(seat.pod.name, rest))
    room = max(0, (limit - claimed) // boot)
    return tuple(lower), tuple(controls), min(fits, room)


def _level(alike: Mapping[_Terms, Collection[Pod]], room: int) -> int:
    """Return the highest equal ceiling for `room` slots; who is capped below it leaves the rest to others."""
    free = [(cap, servers * len(pods)) for (servers, _, cap, _), pods in alike.items()]
    while free:
        level = max(1, room // sum([servers for _, servers in free]))
        above = [(cap, servers) for cap, servers in free if cap > level]
        if len(above) == len(free) or level == 1:
            return level
        room -= sum([cap * servers for cap, servers in free if cap <= level])
        free = above
    return max([cap for _, _, cap, _ in alike], default=0)


def _unsettled(alike: Mapping[_Terms, Collection[Pod]], level: int) -> list[_Seat]:
    """Return the pods that do not have what they shall have.

    The busiest first: where the budget does not reach for all, it goes where threads are short.
    """
    seats = [
        _Seat(pod, pod.report, servers, ceiling, cap)
        for (servers, ceiling, cap, settled), pods in alike.items()
        if not settled or ceiling != min(level, cap)
        for pod in pods
        if pod.report is not None
    ]
    return sorted(seats, key=lambda seat: (-seat.report.busy - seat.report.queue, seat.pod.name))


def _changes(
    seat: _Seat,
    ceiling: int,
    effective: Effective,
    told: Mapping[str, Setting],
    may_grow: bool,
) -> tuple[dict[str, Setting], dict[str, Setting]]:
    """Return what to cut (it makes room) and what to raise or mend; only settings that the pod reports.

    What was `told` and is not wanted any more is taken back by another call: the first may be lost, or late.
    """
    live, current = seat.report.settings, seat.pod.current
    cuts: dict[str, Setting] = {}
    rest: dict[str, Setting] = {
        name: value
        for name, value in effective.settings.items()
        # That one depends on the pod's ceiling: below.
        if name in live
        and name != "threadsPerChild"
        and (live[name] != value or told.get(name, value) != value)
        and (current or name in HTTP)
    }
    if "processes" in rest:
        if rest["processes"] < max(live["processes"], told.get("processes", 0)):
            cuts["processes"] = rest.pop("processes")
        elif not may_grow:
            del rest["processes"]
    if ceiling < seat.ceiling:
        cuts["threadsCeiling"] = ceiling
    elif ceiling > seat.report.threads_ceiling:
        rest["threadsCeiling"] = ceiling
    if "threadsPerChild" in live:
        threads = min(effective.threads_per_child if current else int(live["threadsPerChild"]), ceiling)
        asked = told.get("threadsPerChild", threads)
        if not threads == asked == live["threadsPerChild"]:
            (cuts if threads < max(asked, live["threadsPerChild"]) else rest)["threadsPerChild"] = threads
    return cuts, rest


def _send(
    seat: _Seat, changes: Mapping[str, Setting], ceiling: int, grants: dict[str, Grant], now: float
) -> bool:
    """Return whether to send, and note it: not again what was just sent and may be on its way."""
    if not may_send(grants.get(seat.pod.name), changes, now):
        return False
    grants[seat.pod.name] = Grant(
        seat.report.boot,
        seat.report.sequence,
        max(seat.ceiling, ceiling),
        now,
        changes,
        max(seat.servers, int(changes.get("processes", 0))),
    )
    return True
