"""ThreadsPerChild left out: tuned from what a request waits and computes. The number of pods follows from it.

While a request waits for a database its CPU is free for others: S/C requests of wall time S and CPU time C
keep one CPU busy. More threads than that only share it out thinner, fewer leave it idle and need more pods.
Neither S nor C depends on how many threads or pods there are (the wait for the CPU is taken out), so nothing
chases its own tail: threads are chosen from the requests, and pods from the threads.
"""

from __future__ import annotations

from collections import Counter
from math import ceil
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from .footprint import thread_limit
from .law import CPU_SHARE
from .snapshot import PodPhase
from .staffing import slots_for

if TYPE_CHECKING:
    from .effective import Effective
    from .estimator import Load
    from .snapshot import Pod, Snapshot

TUNE_SECONDS = 120.0
"""Between two changes; each is seen in the load before the next."""
EVIDENCE_SLOT_SECONDS = 60.0
"""Slot time of requests that must have been watched before anything is concluded from it."""
DEADBAND = 1.25
"""A wish within this factor of what there is changes nothing."""
MOST_STEP = 1.5
"""Factor by which one change may move."""
BURST_ROOM = 1.5
"""ThreadLimit shall leave room for bursts of this factor: they answer what pods are too slow for."""


class Tuning(Struct, frozen=True):
    """ThreadsPerChild as tuned last; 0 = not yet, the pods have what they were started with."""

    threads: int = 0
    changed_at: float = float("-inf")
    """-inf = what the pods have is not known of enough of them."""
    why: str = ""


def tune(snapshot: Snapshot, now: float) -> Tuning:
    """Return the threads that a server shall have from now on."""
    tuning, effective = snapshot.memory.tuning, snapshot.effective
    if not effective.threads_tuned:
        return tuning
    if tuning.changed_at == float("-inf"):
        return _found(snapshot.pods, effective, now)
    if now - tuning.changed_at < TUNE_SECONDS or not _is_calm(snapshot):
        return tuning
    cpus = _cpus(snapshot.pods, effective)
    wished = wish(snapshot.memory.load, effective, cpus)
    most = _fitting(effective, max(_asked(snapshot), snapshot.replicas or 0))
    # Threads of the pods that are there must fit into MaxRequestWorkers, or pods would have to go first;
    # and into the pod's memory, which bursts alone could not keep free.
    most = min(most, thread_limit(snapshot.memory.footprint, effective))
    wished = min(wished, max(tuning.threads, most))
    if not wished or tuning.threads / DEADBAND <= wished <= tuning.threads * DEADBAND:
        return tuning
    threads = min(max(wished, int(tuning.threads / MOST_STEP)), ceil(tuning.threads * MOST_STEP))
    load = snapshot.memory.load
    return Tuning(
        threads,
        now,
        f"ThreadsPerChild from {tuning.threads} to {threads}: a request waits {load.wait_per_cpu:.1f} times "
        f"as long as it computes, and {cpus:.2g} CPUs serve a server",
    )


def wish(load: Load, effective: Effective, cpus: float) -> int:
    """Return the fewest threads with which the CPU is the limit and not the slots; 0 = too little is known.

    At CPU_SHARE of its CPUs a server holds CPU_SHARE x cpus x S/C requests on average; with so many slots
    that few of them wait for one, its CPU says how many pods there must be. Never fewer than it starts with:
    where the CPU says how many pods there are, fewer threads save none and let requests wait for slots too.
    """
    if load.waited + load.computed < EVIDENCE_SLOT_SECONDS or load.computed <= 0:
        return 0
    least = effective.boot_threads
    most = int(effective.thread_limit / BURST_ROOM)
    if effective.band is not None:
        # A pod more must not lead from one end of the band beyond the other.
        spread = effective.band.max_spare - effective.band.min_spare - 1
        most = min(most, spread // effective.processes_per_pod)
    held = CPU_SHARE * cpus * (1 + load.wait_per_cpu)
    return max(least, slots_for(held, effective.wait_probability_percent, max(least, most)))


def _found(pods: tuple[Pod, ...], effective: Effective, now: float) -> Tuning:
    """Return what most ready pods have: a new operator goes on where the one before it was.

    Till more than half of them told, the most that any has: the first may be new and not have it yet, and
    nobody shall be cut for that. Pods of an older template count, or a rollout would begin anew.
    """
    ready = [pod for pod in pods if pod.phase is PodPhase.READY]
    told = Counter(
        int(pod.report.settings.get("threadsPerChild", effective.boot_threads))
        for pod in ready
        if pod.report is not None
    )
    if 2 * told.total() > len(ready):
        return Tuning(max(told, key=lambda threads: (told[threads], threads)), now)
    return Tuning(max(told, default=0))


def _is_calm(snapshot: Snapshot) -> bool:
    """Return whether pods are neither made nor replaced: threads and pods never move at the same time."""
    return (
        bool(snapshot.replicas)
        and not (snapshot.rolling or snapshot.paused or snapshot.memory.victims)
        and all(pod.phase is PodPhase.READY for pod in snapshot.pods)
    )


def _cpus(pods: tuple[Pod, ...], effective: Effective) -> float:
    """Return the CPUs a server may use: its share of the pod's, and one at most (the interpreter's lock)."""
    quota = min((pod.report.cpu_quota for pod in pods if pod.report is not None), default=0.0)
    return min(1.0, quota / effective.processes_per_pod)


def _asked(snapshot: Snapshot) -> int:
    """Return how many pods there shall be whatever the load: minReplicas, or what spec.replicas says."""
    return max(1, snapshot.effective.min_replicas, snapshot.manual_replicas or 0)


def _fitting(effective: Effective, pods: int) -> int:
    """Return the threads a server may have for so many pods to fit into MaxRequestWorkers."""
    return effective.max_request_workers // (effective.processes_per_pod * pods)


def apply(snapshot: Snapshot, tuning: Tuning, limit: int) -> Snapshot:
    """Return the snapshot as if `tuning` had been given, with bursts within `limit` threads a server."""
    effective = snapshot.effective
    threads = effective.threads_per_child
    if effective.threads_tuned and tuning.threads:
        # Tuned threads must not keep out pods that are asked for and had room at the threads they start with.
        most = max(effective.boot_threads, _fitting(effective, _asked(snapshot)))
        most = min(most, _fitting(effective, 1))
        threads = max(1, min(tuning.threads, effective.thread_limit, most))
    tuned = effective.with_threads(threads, max(threads, min(limit, effective.thread_limit)))
    if tuned is effective and tuning is snapshot.memory.tuning:
        return snapshot
    return replace(snapshot, effective=tuned, memory=replace(snapshot.memory, tuning=tuning))
