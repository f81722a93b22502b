"""How many pods are needed: httpd's band where spare numbers are given, else Erlang's formula."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from msgspec import Struct

from .explain import plural
from .maintenance import Pool, Spawn, is_due, maintain
from .staffing import pods_for

if TYPE_CHECKING:
    from .effective import Band, Effective
    from .estimator import Load
    from .survey import Survey

DRAIN_QUEUE_SECONDS = 10.0
"""A queue shall be gone in so long: it adds its work divided by this to the load."""
SURE_DEVIATIONS = 1.5
DRAINING_DIVISOR = 4
"""At most a quarter of the pods drains at the same time; the window before it has looked back long enough."""
LEAST_STEP = 4
"""Few pods grow by so many at once: the HPA's default, found good there."""
BURST_PERCENT = 30
"""How often a request may need a thread beyond ThreadsPerChild, where the pods may add them."""
BURST_ROOM = 1.5
"""A burst counts from this many times the ordinary slots."""
BURST_CPU = 0.8
"""Share of its CPU quota up to which a pod adds threads (`mpm_worker.burst`)."""
CPU_SHARE = 0.8
"""Share of its CPUs that a pod shall use: beyond it requests wait for the CPU, whatever slots are free."""
HELD_BACK_SECONDS = 2.0
"""A queue that stands still for so long before full slots is no backlog: its clients wait to ask again."""


class Need(Struct, frozen=True):
    """Pods needed: `want` to accept or come now, `keep` to stay before the window looks back.

    `drop` is how many may go in this plan, `draining` how many may drain at the same time; `why` is the law
    in a sentence.
    """

    want: int
    keep: int
    drop: int
    draining: int
    spawn: Spawn
    reason: str
    why: str


def by_band(effective: Effective, band: Band, seen: Survey, have: int, spawn: Spawn, now: float) -> Need:
    """httpd's idle maintenance on the slots of the whole WebServer; pods that start count as idle."""
    processes, slots_per_pod = effective.processes_per_pod, effective.slots_per_pod
    slots = seen.slots + (have - len(seen.accepting)) * slots_per_pod
    idle = slots - seen.load
    keep = (band.max_spare + seen.load) // slots_per_pod
    unit = "Servers" if effective.mpm == "Prefork" else "Threads"
    missing = band.min_spare - idle
    change, after = 0, spawn
    if is_due(spawn, now):
        leaving = len(seen.victims) + len(seen.terminating)
        pool = Pool(idle, have * processes, (have + leaving) * processes)
        change, after = maintain(
            spawn,
            pool,
            band,
            effective.max_pods * processes,
            effective.server_limit,
            need=-(-missing // effective.threads_per_child),
        )
    if missing > 0:
        reason = "QueueFormed" if seen.queue else f"Spare{unit}Low"
        why = (
            f"{max(idle, 0)} idle slots are less than MinSpare{unit} {band.min_spare}: {missing} more are "
            f"needed, and a tick may add {spawn.rate} server{'s' * (spawn.rate != 1)}"
        )
    elif idle > band.max_spare:
        reason = f"Spare{unit}High"
        why = f"{idle} idle slots are more than MaxSpare{unit} {band.max_spare}: one pod may go at a time"
    else:
        reason = "Steady"
        why = f"{idle} idle slots are within the band of {band.min_spare} to {band.max_spare}"
    want = have
    if change > 0:
        want = have + -(-change // processes)
    elif missing > 0 and is_due(spawn, now):
        # A limit stands in the way: ask for all, so that it is named with the number to raise it to.
        want = have + -(-missing // slots_per_pod)
    return Need(want, keep, int(change < 0), len(seen.victims) + 1, after, reason, why)


def by_load(
    effective: Effective, load: Load, seen: Survey, have: int, pooled: bool, rise: float = 0.0
) -> Need:
    """Pods by which at most `waitProbabilityPercent` of the requests wait, for the offered load.

    A queue shall drain in DRAIN_QUEUE_SECONDS and is no steady load: to divide a backlog by slots is how
    others overshoot fivefold. `rise` requests a second come on top until a pod asked for now is ready. For
    these it is enough that the pods hold them with all their threads, which come when they are wanted: so a
    rise asks for pods only where there is no room to burst. Two cases say that the load is more than what
    was counted; then pods are doubled, and nothing more is added while pods start.
    """
    percent = effective.wait_probability_percent
    offered, slots = load.offered, effective.slots_per_pod
    backlog = seen.queue * load.service_seconds / DRAIN_QUEUE_SECONDS
    # What is spare against waiting also drains a queue: it asks for more pods only where that is too little.
    burst = burst_slots(effective, load, seen, have)
    # Where pods add threads in milliseconds, ordinary slots that are full are no reason for a pod.
    full = max(seen.slots, burst * len(seen.accepting)) if burst > slots else seen.slots
    computing = load.rate * load.cpu_seconds
    least = _by_cpu(computing, seen.cpus)
    # All threads that there may be drain a queue.
    want = max(staff(offered, slots, burst, percent, pooled), ceil((offered + backlog) / burst), least)
    later = offered + rise * load.service_seconds
    rising = pods_for(later, burst, percent, pooled=pooled) if rise > 0 else 0
    # Leave only when the load is surely less: or noise around a whole number of pods would flap for ever.
    sure = offered + SURE_DEVIATIONS * load.deviation
    surely = computing * sure / offered if offered > 0 else 0.0
    keep = max(staff(sure, slots, burst, percent, pooled), _by_cpu(surely, seen.cpus))
    arriving = f"{load.rate:.1f} requests/s x {load.service_seconds * 1000:.0f} ms"
    known = "always busy" if load.lasts else arriving
    why = (
        f"{plural(want, 'pod')} for a load of {offered:.1f} slots ({known}, {seen.queue} waiting): "
        f"at most {percent} % have to wait"
    )
    if want == least > 1:
        why = (
            f"{plural(want, 'pod')} for {computing:.2g} CPUs of work ({load.rate:.1f} requests/s x "
            f"{load.cpu_seconds * 1000:.0f} ms of CPU, {seen.cpus:g} CPUs a pod)"
        )
    if rising > want:
        want = rising
        why = (
            f"{plural(want, 'pod')} for a load that rises from {offered:.1f} slots to {later:.1f} before "
            f"a pod asked for now is ready, and the threads that may be added are not enough"
        )
    reason = "Steady"
    if want > have:
        reason = "QueueFormed" if seen.queue else "LoadRose"
    elif want < have:
        reason = "LoadFell"
    if seen.coming == 0 and not seen.fresh and want <= have and load.overflowing:
        want, reason = 2 * have, "BacklogOverflows"
        why = "accept queues overflow, so the load is at least what is seen: twice the pods"
    elif seen.queue > 0 and load.held_back >= HELD_BACK_SECONDS:
        most = pods_for(float(seen.load), slots, percent, pooled=pooled)
        steadily = min(2 * len(seen.accepting) + LEAST_STEP, most)
        if steadily > max(want, have):
            want, reason = steadily, "QueueFormed"
            why = f"{seen.queue} requests wait steadily before full slots: {want} of the {most} pods for them"
    elif seen.coming == 0 and want <= have and seen.queue > 0 and seen.busy >= full:
        want, reason = have + 1, "QueueFormed"
        why = f"{seen.queue} requests wait before full slots: one pod at once, more when the load is known"
    step = max(1, have // DRAINING_DIVISOR)
    return Need(want, max(want, keep), step, step, Spawn(), reason, why)


def _by_cpu(computing: float, cpus: float) -> int:
    """Return the pods whose `cpus` each are used up to CPU_SHARE by so many CPUs of work."""
    return ceil(computing / (CPU_SHARE * cpus)) if cpus > 0 else 0


def staff(load: float, slots: int, burst: int, percent: int, pooled: bool) -> int:
    """Return the pods for `load` erlangs: at most `percent` of the requests wait although a pod may go up to
    `burst` slots, and at most BURST_PERCENT need more than its `slots`.

    Threads first, then pods: a request waits only where the burst is exhausted, so that is what
    waitProbabilityPercent promises; pods for the ordinary slots alone would pay for it twice.
    """
    if burst <= slots:
        return pods_for(load, slots, percent, pooled=pooled)
    at_ceiling = pods_for(load, burst, percent, pooled=pooled)
    return max(at_ceiling, pods_for(load, slots, max(percent, BURST_PERCENT), pooled=pooled))


def burst_slots(effective: Effective, load: Load, seen: Survey, have: int) -> int:
    """Return the slots to which a pod may go by itself: limit, share of MaxRequestWorkers, CPU."""
    most = min(
        effective.thread_limit * effective.processes_per_pod,
        effective.max_request_workers // max(1, have),
    )
    if not seen.cpus:
        return effective.slots_per_pod
    # CPU shows at once, slot time when a request is complete: the first few seem to compute all the time.
    if load.served > load.inside and load.cpu_share > 0:
        most = min(most, int(BURST_CPU * seen.cpus / load.cpu_share))
    # Too little room to catch a pod's share of a random peak is none.
    return most if most >= BURST_ROOM * effective.slots_per_pod else effective.slots_per_pod


def remember(
    peaks: tuple[tuple[float, int], ...], keep: int, window: float, now: float
) -> tuple[tuple[float, int], ...]:
    """Return the window's falling sequence of needs after `keep`; its first value is the maximum."""
    kept = [peak for peak in peaks if peak[0] > now - window and peak[1] > keep]
    return (*kept, (now, keep))
