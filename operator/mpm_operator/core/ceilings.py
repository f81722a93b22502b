"""Thread ceilings: who may have how many slots, so that all together never have more than MaxRequestWorkers.

A pod's supervisor adds threads by itself up to its ceiling. Every pod therefore *claims* what it could have,
max(ceiling x servers, slots it has), and the sum of the claims stays within MaxRequestWorkers at any moment.
Ceilings are lowered first; only what was seen lowered is dealt out again. A raise counts from the moment it
is sent, a cut from the moment it is seen: a control call that got lost, or comes late, then does no harm.

A pod of an older template goes when its successor serves. Until then it keeps the threads it has, because the
new template's may be another MPM's; MaxRequestWorkers may cut it, nothing raises it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from .plan import Control
from .snapshot import PodState
from .survey import is_silent

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .effective import Effective
    from .snapshot import Pod, Report
    from .survey import Survey

Setting = int | float | bool

RESEND_SECONDS = 1.0
"""A control call whose effect is not seen is repeated after so long."""
GIVE_UP_SECONDS = 5.0
"""After so long the values alone prove a control call, for pods whose sequence number does not move."""
REFUSED_SECONDS = 30.0
"""What a pod answered with 400 is asked again after so long: it would say the same."""
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


class Grant(Struct, frozen=True):
    """A control call that was sent and not seen in force yet."""

    boot: str
    sequence: int
    """The pod's sequence number when it was sent; the call moves it on."""
    ceiling: int
    """The highest ceiling that may be in force meanwhile."""
    sent_at: float
    changes: Mapping[str, Setting]
    servers: int = 0
    """The most servers that may be in force meanwhile."""
    refused: bool = False
    """The pod answered that it can't: nothing of it will ever be in force."""


class Deal(Struct, frozen=True):
    """The controls of one plan."""

    lower: tuple[Control, ...]
    controls: tuple[Control, ...]
    grants: Mapping[str, Grant]
    room: int
    """Pods that may be created now."""


_Terms = tuple[int, int, int, bool]
"""What pods may have in common: servers, the highest ceiling that may be in force, the highest that each may
be given, and whether they show that ceiling and every setting wanted. Most pods of a WebServer are alike, so
sharing out is computed once for all of them."""


class _Seat(Struct, frozen=True):
    """A pod whose ceiling or settings may have to be changed, and its terms."""

    pod: Pod
    report: Report
    servers: int
    ceiling: int
    cap: int


def refuse(grants: Mapping[str, Grant], pods: Collection[str]) -> dict[str, Grant]:
    """Return the grants after `pods` answered that they can't: their claims are what they show again."""
    return {
        name: replace(grant, ceiling=0, servers=0, refused=True) if name in pods else grant
        for name, grant in grants.items()
    }


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

    unheard: slots that a pod which has not told yet may have, of settings in force when it was made.
    """
    boot = effective.boot_slots
    unheard = max(unheard, boot)
    processes = effective.processes_per_pod
    open_grants: dict[str, Grant] = {}
    alike: dict[_Terms, list[Pod]] = {}
    fixed = unheard * seen.unseen + boot * surge
    claimed = fixed
    wanted_settings = effective.settings
    settings: Mapping[str, Setting] | None = None
    for pod in (*seen.accepting, *seen.starting, *seen.victims, *seen.strays, *seen.broken):
        report = pod.report
        if report is None:
            fixed += unheard
            claimed += unheard
            continue
        if report.settings is not settings:
            # Reports that say the same share it: one look for all pods.
            settings = report.settings
            told, settled = int(settings.get("processes", 1)), settings == wanted_settings
        ceiling = report.threads_ceiling
        # What it was told to have it will have, and what it has may take long to finish.
        servers = told if told > report.servers else report.servers
        calm = settled
        if pod.name in grants and (grant := _still_open(grants[pod.name], report, now)):
            open_grants[pod.name] = grant
            ceiling = max(ceiling, grant.ceiling)
            servers = max(servers, grant.servers)
            calm = False
        cap = effective.thread_limit
        if 0 < report.thread_limit < cap:
            cap = report.thread_limit
        if not pod.current:
            servers = max(1, servers)
            cap = report.threads_ceiling
        elif servers < processes:
            servers = processes
        claim = ceiling * servers
        if claim < report.total:
            claim = report.total
        claimed += claim
        deaf = report.state is not PodState.SERVING and report.state in _DEAF
        if deaf or is_silent(pod, now):
            fixed += claim
            continue
        terms = servers, ceiling, cap, calm and ceiling == report.threads_ceiling
        if terms in alike:
            alike[terms].append(pod)
        else:
            alike[terms] = [pod]
    for pod in seen.terminating:
        claim = _last_claim(pod, grants.get(pod.name), unheard)
        fixed += claim
        claimed += claim
    return _share_out(effective, alike, open_grants, fixed, claimed, wanted, now)


def _still_open(grant: Grant, report: Report, now: float) -> Grant | None:
    """Return the grant while its effect was not seen in this life of the pod."""
    if grant.boot != report.boot:
        return None
    if any(_live(report, name) != value for name, value in grant.changes.items()):
        return grant
    proven = report.sequence > grant.sequence or now - grant.sent_at > GIVE_UP_SECONDS
    return None if proven else grant


def _live(report: Report, name: str) -> Setting | None:
    return report.threads_ceiling if name == "threadsCeiling" else report.settings.get(name)


def _last_claim(pod: Pod, grant: Grant | None, unheard: int) -> int:
    report = pod.report
    if report is None:
        return unheard
    ceiling = max(report.threads_ceiling, grant.ceiling if grant and grant.boot == report.boot else 0)
    return max(ceiling * report.servers, report.total)


def is_settling(grants: Mapping[str, Grant]) -> bool:
    """Return whether a setting was sent that no scoreboard shows yet; ceilings are no setting."""
    return any(not grant.refused and grant.changes.keys() - {"threadsCeiling"} for grant in grants.values())


def _share_out(
    effective: Effective,
    alike: Mapping[_Terms, Collection[Pod]],
    grants: dict[str, Grant],
    fixed: int,
    claimed: int,
    wanted: int,
    now: float,
) -> Deal:
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
    wishes = _wishes(effective)
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
        cuts, rest = _changes(seat, ceiling, wishes, effective, _sent(grants, seat.pod), claimed <= limit)
        # One call a pod and plan: the cuts first, for others wait for the room they make.
        if cuts:
            if _send(seat, cuts, ceiling, grants, now):
                lower.append(Control(seat.pod.name, cuts))
        elif rest and _send(seat, rest, ceiling, grants, now):
            controls.append(Control(seat.pod.name, rest))
    room = max(0, (limit - claimed) // boot)
    return Deal(tuple(lower), tuple(controls), grants, min(fits, room))


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


def _wishes(effective: Effective) -> dict[str, Setting]:
    """Return the live settings that the directives ask for; threadsPerChild depends on the pod's ceiling."""
    return {name: value for name, value in effective.settings.items() if name != "threadsPerChild"}


def _sent(grants: Mapping[str, Grant], pod: Pod) -> Mapping[str, Setting]:
    """Return the changes that may be in force without having been seen."""
    grant = grants.get(pod.name)
    return {} if grant is None or grant.refused else grant.changes


def _changes(
    seat: _Seat,
    ceiling: int,
    wishes: Mapping[str, Setting],
    effective: Effective,
    sent: Mapping[str, Setting],
    may_grow: bool,
) -> tuple[dict[str, Setting], dict[str, Setting]]:
    """Return what to cut (it makes room) and what to raise or mend; only settings that the pod reports.

    What was `sent` and is not wanted any more is taken back by another call: the first may be lost, or late.
    """
    live, current = seat.report.settings, seat.pod.current
    cuts: dict[str, Setting] = {}
    rest: dict[str, Setting] = {
        name: value
        for name, value in wishes.items()
        if name in live
        and (live[name] != value or sent.get(name, value) != value)
        and (current or name in HTTP)
    }
    if "processes" in rest:
        if rest["processes"] < max(live["processes"], sent.get("processes", 0)):
            cuts["processes"] = rest.pop("processes")
        elif not may_grow:
            del rest["processes"]
    if ceiling < seat.ceiling:
        cuts["threadsCeiling"] = ceiling
    elif ceiling > seat.report.threads_ceiling:
        rest["threadsCeiling"] = ceiling
    if "threadsPerChild" in live:
        threads = min(effective.threads_per_child if current else int(live["threadsPerChild"]), ceiling)
        told = sent.get("threadsPerChild", threads)
        if not threads == told == live["threadsPerChild"]:
            (cuts if threads < max(told, live["threadsPerChild"]) else rest)["threadsPerChild"] = threads
    return cuts, rest


def _send(
    seat: _Seat, changes: Mapping[str, Setting], ceiling: int, grants: dict[str, Grant], now: float
) -> bool:
    """Return whether to send, and note it: not again what was just sent and may be on its way."""
    last = grants.get(seat.pod.name)
    if last is not None and last.changes == changes:
        pause = REFUSED_SECONDS if last.refused else RESEND_SECONDS
        if now - last.sent_at < pause:
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
