"""The decision: one snapshot in, one plan out; total and deterministic, with no clock but its argument.

The order of thought: sort the pods (`survey`), estimate the load (`estimator`), say how many pods are needed
(`law`), bound that and choose the means (`sizing`, `victims`), deal out the thread ceilings (`ceilings`), and
say why (`explain`, `conditions`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from . import ceilings, conditions, estimator, explain, law, sizing, victims
from .footprint import Footprint, measure, thread_limit
from .maintenance import HOLD_OFF
from .plan import Decision, Note, Plan, Rebalance
from .recall import recall
from .startup import learn
from .survey import is_silent, survey
from .trend import follow
from .tuning import apply, tune

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .estimator import Load
    from .law import Need
    from .memory import Memory
    from .sizing import Base, Size
    from .snapshot import Pod, Snapshot
    from .startup import Startups
    from .survey import Survey
    from .trend import Trend
    from .victims import Victim

PLAN_SECONDS = 1.0
LEAVING_SECONDS = 0.25
"""The same while pods leave: load that comes back then has to wait for nothing but the lines of the pods."""
MEMORY_SAMPLES = 10
"""The memory of the pods is looked at once in so many samples of the load: it moves slowly."""
SETTLE_SECONDS = 1.0
"""A new pod is in the proxies' tables this long after it accepts; connections let go before come back old."""


class _Thought(NamedTuple):
    """What follows from the snapshot, before anything is done about it."""

    seen: Survey
    base: Base
    startups: Startups
    trend: Trend
    load: Load
    need: Need
    peaks: tuple[tuple[float, int], ...]
    size: Size


def plan(snapshot: Snapshot, now: float) -> Plan:
    """Return what is to be done now; to be called at any event, and at `Plan.due` at the latest."""
    before = snapshot.memory
    tuning = tune(snapshot, now)
    snapshot = apply(snapshot, tuning, thread_limit(before.footprint, snapshot.effective))
    if snapshot.replicas is None:
        return _first(snapshot, now)
    thought = _think(snapshot, now)
    decided = _say(snapshot, thought, _act(snapshot, thought, now), now)
    if tuning.why != before.tuning.why:
        decided = replace(decided, notes=(*decided.notes, Note("Normal", "ThreadsTuned", tuning.why)))
    return decided


def _is_tied(snapshot: Snapshot) -> bool:
    """Return whether the Deployment is not ours to shrink: then nobody is a victim, and all serve again."""
    return snapshot.rolling or snapshot.paused or bool(snapshot.foreign_scaler)


def _think(snapshot: Snapshot, now: float) -> _Thought:
    memory, effective = snapshot.memory, snapshot.effective
    names = () if _is_tied(snapshot) else [victim.name for victim in memory.victims]
    seen = survey(snapshot, names, now)
    base = sizing.base_of(snapshot, seen, now)
    startups = learn(memory.startups, seen.accepting, seen.newest)
    # Pods on their way out count for the load: what reaches them still will reach the others.
    leaving = (*seen.victims, *seen.strays, *seen.terminating)
    busy = seen.busy + sum([pod.report.busy for pod in leaving if pod.report is not None])
    load = estimator.observe(
        memory.load, (*seen.accepting, *leaving), busy, seen.shown.idle, seen.queue, now, seen.dispersion
    )
    trend = follow(memory.trend, load, startups.usual)
    if effective.band is not None:
        spawn = memory.spawn
        if memory.rolling and not snapshot.rolling:
            spawn = replace(spawn, rate=1, hold_off=HOLD_OFF)
        need = law.by_band(effective, effective.band, seen, base.have, spawn, now)
    else:
        pooled = snapshot.pooled or load.pooled
        need = law.by_load(effective, load, seen, base.have, pooled, trend.rise)
        need = recall(need, effective, load, seen, busy + seen.queue, base.have, pooled)
    peaks = law.remember(memory.peaks, need.keep, effective.scale_down_stabilization_seconds, now)
    size = sizing.size(snapshot, seen, base, need, peaks[0][1], now)
    return _Thought(seen, base, startups, trend, load, need, peaks, size)


def _act(snapshot: Snapshot, thought: _Thought, now: float) -> Plan:
    """Return the plan without its words."""
    memory, effective = snapshot.memory, snapshot.effective
    seen, base, size = thought.seen, thought.base, thought.size
    deal = ceilings.deal(effective, seen, memory.grants, size.create, base.surge, now, memory.unheard)
    create = min(size.create, deal.room)
    followed = {victim.name: victim for victim in memory.victims}
    going, back = _follow(followed, seen, size.resume, now)
    staying = (pod for pod in seen.accepting if pod not in size.quiesce)
    going, spared = victims.exchange(going, seen.victims, staying, now)
    going += [victims.begin(pod, now, haste=base.pods > effective.max_pods) for pod in size.quiesce]
    marked, gone = _marks(going, seen, effective.graceful_shutdown_timeout_seconds, now)
    desired = base.pods + size.resume + size.create - size.cut - len(size.quiesce)
    spawn = thought.need.spawn
    if size.resume or create or size.cut or size.quiesce:
        spawn = replace(spawn, acted_at=now)
    elif size.create:
        # A growth that waits for lower ceilings has not happened: it keeps its tick and its rate.
        spawn = memory.spawn
    rebalance, settled, newcomers = _rebalance(memory, seen, now)
    footprint = Footprint() if snapshot.rolling else memory.footprint
    if thought.load is not memory.load and thought.load.samples % MEMORY_SAMPLES == 1:
        footprint = measure(footprint, seen.accepting)
    remembered = replace(
        memory,
        footprint=footprint,
        startups=thought.startups,
        trend=thought.trend,
        spawn=spawn,
        load=thought.load,
        peaks=thought.peaks,
        victims=tuple(going),
        grants=memory.grants if snapshot.paused else deal.grants,
        settled=settled,
        newcomers=newcomers,
        unheard=deal.unheard if create or seen.has_unheard else 0,
        rolling=snapshot.rolling,
        start=memory.start if base.pods + create < memory.start else 0,
    )
    acted = Plan(
        desired=desired,
        # Victims count until they are drained and marked, pods that wait for room not before there is some.
        replicas=desired - (size.create - create) + len(going) - gone,
        totals=seen.shown,
        threads_per_child=effective.threads_per_child,
        memory=remembered,
        due=now + (LEAVING_SECONDS if going else PLAN_SECONDS),
    )
    if snapshot.paused or snapshot.foreign_scaler:
        acted = replace(acted, replicas=snapshot.replicas or 0)
    if snapshot.paused:
        return acted
    return replace(
        acted,
        lower=deal.lower,
        resume=(*back, *spared, *(pod.name for pod in seen.strays)),
        quiesce=tuple(victim.name for victim in going),
        patient=tuple(victim.name for victim in victims.waiting(going, now)),
        victims=marked,
        pardoned=tuple(name for name in seen.costed if name not in marked),
        controls=deal.controls,
        rebalance=rebalance,
    )


def _say(snapshot: Snapshot, thought: _Thought, acted: Plan, now: float) -> Plan:
    """Return the plan with its words: decision, conditions, and notes for what is new."""
    memory = snapshot.memory
    seen, base, need, size = thought.seen, thought.base, thought.need, thought.size
    if size.create and not size.bound and acted.replicas < acted.desired:
        size = replace(size, bound="Ceilings")
    deaf = conditions.deaf_since(memory, seen, now)
    found = conditions.troubles(snapshot, seen, size, deaf, now)
    lasting, news = conditions.episodes(memory.episodes, found, now)
    current = explain.decision(snapshot, seen, base, thought.startups, need, size, acted.desired, now)
    assert acted.memory is not None
    if acted.patient:
        until = max(victim.until for victim in victims.waiting(acted.memory.victims, now))
        patience = explain.patience(len(acted.patient), until - now)
        current = replace(current, chain=(*current.chain, patience))
    said, pending = explain.settle(memory, current, acted.desired, now)
    return replace(
        acted,
        conditions=conditions.conditions(snapshot, seen, lasting, acted.memory.grants),
        decision=said,
        notes=(*explain.notes(memory, said, base.pods, acted.desired, need.spawn), *news),
        memory=replace(
            acted.memory,
            episodes=lasting,
            deaf_since=deaf,
            desired=acted.desired,
            said=said,
            pending=pending,
        ),
    )


def _first(snapshot: Snapshot, now: float) -> Plan:
    """Return the plan for a WebServer without a Deployment: StartServers, or what it had before."""
    effective = snapshot.effective
    if snapshot.manual_replicas is not None:
        pods, reason, why = snapshot.manual_replicas, "ManualReplicas", "spec.replicas"
    elif snapshot.desired_before is not None:
        pods, reason, why = (
            snapshot.desired_before,
            "Restored",
            "the Deployment was deleted: as many as before",
        )
    else:
        pods, reason, why = effective.start_pods, "Created", f"StartServers {effective.start_servers}"
    least = effective.min_replicas if snapshot.manual_replicas is None else 0
    pods = min(max(pods, least), effective.max_pods)
    seen = survey(snapshot, (), now)
    # Pods that end still count for the room. Those that live are kept, however many: their Deployment may
    # have left the cache and nothing else; a later plan takes what is too much, pod by pod.
    deal = ceilings.deal(effective, seen, {}, max(0, pods - seen.living), 0, now)
    replicas = seen.living + deal.room
    decision = Decision(reason, f"{explain.plural(pods, 'pod')}: {why}")
    memory = replace(
        snapshot.memory, start=pods if replicas < pods else 0, desired=pods, said=decision, pending=None
    )
    found = conditions.troubles(snapshot, seen, sizing.Size(), None, now)
    lasting, notes = conditions.episodes(memory.episodes, found, now)
    return Plan(
        desired=pods,
        replicas=replicas,
        threads_per_child=effective.threads_per_child,
        conditions=conditions.conditions(snapshot, seen, lasting, {}),
        decision=decision,
        notes=notes,
        memory=replace(memory, episodes=lasting),
        due=now + PLAN_SECONDS,
    )


def _follow(
    followed: Mapping[str, Victim], seen: Survey, resume: int, now: float
) -> tuple[list[Victim], list[str]]:
    """Return the victims that go on, and the names of those that serve again: the least advanced first."""
    stay = sorted(seen.victims, key=lambda pod: _progress(pod, followed[pod.name], now))
    back = [pod.name for pod in stay[:resume]]
    return [victims.follow(followed[pod.name], pod, now) for pod in stay[resume:]], back


def _progress(pod: Pod, victim: Victim, now: float) -> tuple[bool, bool, float]:
    return victims.is_marked(pod, now), victim.busy is not None, victim.since


def _marks(going: Iterable[Victim], seen: Survey, grace: float, now: float) -> tuple[tuple[str, ...], int]:
    """Return the drained victims, and how many of them `replicas` may leave out."""
    pods = {pod.name: pod for pod in seen.victims}
    drained = [
        victim.name
        for victim in going
        if victim.name in pods and victims.is_drained(victim, pods[victim.name], grace, now)
    ]
    return tuple(drained), sum(victims.is_marked(pods[name], now) for name in drained)


def _rebalance(
    memory: Memory, seen: Survey, now: float
) -> tuple[tuple[Rebalance, ...], frozenset[str], dict[str, float]]:
    """Return who lets go of connections for pods that are new in the endpoints, once for each.

    A proxy chooses a pod for a connection, not for a request: without this, kept connections leave new pods
    empty. Returns the calls, the pods that have their share, and those that wait for it.
    """
    accepting = frozenset([pod.name for pod in seen.accepting])
    if memory.settled is None or memory.settled == accepting:
        return (), accepting, {}
    settled = memory.settled & accepting
    waiting = {name: memory.newcomers.get(name, now) for name in accepting - settled}
    ripe = {name for name, since in waiting.items() if now - since >= SETTLE_SECONDS}
    if not ripe:
        return (), settled, waiting
    share = len(ripe) / len(accepting)
    calls = tuple(
        Rebalance(pod.name, share)
        for pod in seen.accepting
        if pod.name in settled
        and pod.report is not None
        and pod.report.keep_alive
        and not is_silent(pod, now)
    )
    return calls, settled | ripe, {name: since for name, since in waiting.items() if name not in ripe}
