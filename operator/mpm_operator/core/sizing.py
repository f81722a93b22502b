"""How many pods from now on, and how: victims that serve again, new pods, starting pods cut, new victims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from .survey import is_ending, is_silent
from .victims import choose, is_marked

if TYPE_CHECKING:
    from .law import Need
    from .snapshot import Pod, Snapshot
    from .survey import Survey

SILENT_SHARE = 0.3
"""More silent pods than this share of the accepting ones, and nothing shrinks: the load is not known."""


class Base(Struct, frozen=True):
    """What the Deployment has when everything under way is done, before this plan adds or takes."""

    pods: int
    """Pods without victims."""
    have: int
    """Of these, the pods that accept or will."""
    coming: int
    """Of these, the pods that will."""
    surge: int
    """Pods that an unfinished rollout may still add."""


class Size(Struct, frozen=True):
    """A change of the number of pods."""

    resume: int = 0
    create: int = 0
    cut: int = 0
    """Pods that start or cannot start: a ReplicaSet takes them first, without a quiesce."""
    quiesce: tuple[Pod, ...] = ()
    bound: str = ""
    """What held it: MaxRequestWorkers, ServerLimit, PodsFailing; Window, NoHistory, SilentPods, RollingOut,
    MinReplicas, Draining."""
    wanted: int = 0
    """Pods that there would be without the bound."""
    short: int = 0
    """New pods that it held back."""


def base_of(snapshot: Snapshot, seen: Survey, now: float) -> Base:
    """Return the pods that stay: `replicas` less the victims that it does not leave out yet.

    Pods above `replicas` are about to be deleted by the ReplicaSet: marked victims first, then starting pods.
    While a rollout is unfinished they are its surge, and nothing is about to go.
    """
    replicas = snapshot.replicas or 0
    extra = max(0, seen.living - replicas)
    lowered = min(sum(is_marked(pod, now) for pod in seen.victims), extra)
    doomed = 0 if snapshot.rolling else min(extra - lowered, seen.coming)
    return Base(
        pods=max(0, replicas - len(seen.victims) + lowered),
        have=seen.have - doomed,
        coming=seen.coming - doomed,
        surge=max(0, replicas + snapshot.surge - seen.living) if snapshot.rolling else 0,
    )


def grow(snapshot: Snapshot, seen: Survey, base: Base, missing: int) -> Size:
    """Return how `missing` pods come: victims serve again first, then new pods as far as the bounds allow."""
    effective = snapshot.effective
    resume = min(missing, len(seen.victims), max(0, effective.max_pods - base.pods))
    wanted = missing - resume
    server_room = effective.server_limit // effective.processes_per_pod - base.surge
    bounds = [
        ("MaxRequestWorkers", effective.max_pods - base.pods - resume),
        ("ServerLimit", server_room - seen.living - len(seen.terminating)),
    ]
    if len(seen.broken) > len(seen.accepting) and base.pods >= effective.min_replicas:
        # httpd's sick children: what cannot start is not helped by more of it. Who ends is replaced anyway.
        sick = not all(is_ending(pod) for pod in seen.broken)
        bounds.append(("PodsFailing" if sick else "Draining", 0))
    bound, create = "", wanted
    for name, most in bounds:
        if create > max(0, most):
            bound, create = name, max(0, most)
    return Size(resume=resume, create=create, bound=bound, wanted=base.pods + missing, short=wanted - create)


def shrink(
    snapshot: Snapshot, seen: Survey, base: Base, surplus: int, draining: int, floor: int, now: float
) -> Size:
    """Return how `surplus` pods go: starting ones at once, serving ones through quiesce.

    At most `draining` pods drain at the same time, and `floor` pods stay ready.
    """
    wanted = base.pods - surplus
    if snapshot.rolling:
        return Size(bound="RollingOut", wanted=wanted)
    under_way = len(seen.victims) + len(seen.strays)
    dispensable = base.coming + seen.expendable
    if dispensable:
        # A ReplicaSet might take a draining victim for a starting pod: one kind of reduction at a time.
        if under_way:
            return Size(bound="Draining", wanted=wanted)
        return Size(cut=min(surplus, dispensable), wanted=wanted)
    count = min(surplus, draining - under_way, len(seen.accepting) - floor)
    chosen = choose(seen.accepting, count, now)
    return Size(quiesce=tuple(chosen), bound="" if chosen else "Draining", wanted=wanted)


def hold(snapshot: Snapshot, seen: Survey, now: float) -> str:
    """Return what forbids to shrink by the law: not enough is known of the load."""
    window = snapshot.effective.scale_down_stabilization_seconds
    if now - snapshot.memory.started_at < window:
        return "NoHistory"
    if seen.silent > SILENT_SHARE * len(seen.accepting):
        return "SilentPods"
    return ""


def size(snapshot: Snapshot, seen: Survey, base: Base, need: Need, keep: int, now: float) -> Size:
    """Return the change of this plan; `keep` is the greatest need of the stabilization window."""
    effective = snapshot.effective
    if snapshot.paused or snapshot.foreign_scaler:
        return Size(wanted=base.pods)
    if snapshot.manual_replicas is not None:
        return _by_hand(snapshot, seen, base, snapshot.manual_replicas, now)
    over = base.pods - effective.max_pods
    if over > 0:
        draining = over
        if _can_be_held(seen, effective.max_request_workers, now):
            # Ceilings keep the limit meanwhile, so there is no haste: the slots of pods that go come back as
            # threads of the others only when they are gone.
            draining = max(1, base.have // 4) - len(seen.terminating)
        return shrink(snapshot, seen, base, over, draining, effective.min_replicas, now)
    least = max(effective.min_replicas, snapshot.memory.start)
    missing = max(need.want - base.have, least - base.pods)
    if missing > 0:
        return grow(snapshot, seen, base, missing)
    floor = max(effective.min_replicas, 1)
    surplus = min(base.have - need.keep, base.pods - floor)
    if base.coming == 0 and seen.expendable and base.have >= keep:
        surplus = max(surplus, base.pods - max(keep, floor))
    if surplus <= 0:
        return Size(wanted=base.pods)
    bound = hold(snapshot, seen, now)
    if not bound:
        surplus = min(surplus, need.drop, max(base.pods - max(keep, floor), 0))
        bound = "" if surplus > 0 or need.drop == 0 else "Window"
    if bound or surplus <= 0:
        return Size(bound=bound, wanted=max(need.keep, floor))
    return shrink(snapshot, seen, base, surplus, need.draining, floor, now)


def _can_be_held(seen: Survey, limit: int, now: float) -> bool:
    """Return whether the pods that are there can be kept within `limit` slots by their ceilings alone."""
    least = seen.unseen
    for pod in (*seen.accepting, *seen.starting, *seen.victims, *seen.strays, *seen.broken):
        report = pod.report
        if report is not None:
            least += report.servers * (report.threads_ceiling if is_silent(pod, now) else 1)
    return least <= limit


def _by_hand(snapshot: Snapshot, seen: Survey, base: Base, replicas: int, now: float) -> Size:
    target = min(replicas, snapshot.effective.max_pods)
    if target > base.pods:
        return grow(snapshot, seen, base, target - base.pods)
    if target < base.pods:
        return shrink(snapshot, seen, base, base.pods - target, base.pods, target, now)
    return Size(bound="MaxRequestWorkers" if replicas > target else "", wanted=replicas)
