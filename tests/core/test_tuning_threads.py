"""ThreadsPerChild left out: from what requests wait and compute, slowly, and never against a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from mpm_operator.core.directives import normalise
from mpm_operator.core.estimator import Load
from mpm_operator.core.footprint import Footprint
from mpm_operator.core.memory import fresh
from mpm_operator.core.planner import plan
from mpm_operator.core.snapshot import Pod, PodPhase, PodState, Report, Snapshot
from mpm_operator.core.spec import App, MPMDirectives, WebServerSpec
from mpm_operator.core.tuning import TUNE_SECONDS, Tuning, tune, wish
from mpm_operator.simulator.run import simulate
from mpm_operator.simulator.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_operator.core.effective import Effective
    from mpm_operator.core.plan import Plan

REPORT = Report(
    at=0.0, boot="a", state=PodState.SERVING, servers=1, threads_per_child=25, threads_ceiling=64, busy=12,
    idle=13, total=25, queue=0, backlog_limit=511, overflows=0, connections=0, keep_alive=0, accesses=0,
    busy_ms=0, cpu_ms=0, cpu_quota=1.0, throttled_ms=0, rss=0, memory_limit=0,
    settings={"threadsPerChild": 25},
)  # fmt: skip
WAITING = Load(waited=9800.0, computed=200.0)
"""Requests that wait 49 times as long as they compute."""


def snapshot_of(
    effective: Effective, load: Load, threads: int = 25, pods: int = 4, phase: PodPhase = PodPhase.READY
) -> Snapshot:
    there = tuple(Pod(f"shop-{n}", phase, 0.0, report=REPORT) for n in range(pods))
    memory = replace(fresh(0.0), load=load, tuning=Tuning(threads, 0.0))
    return Snapshot(effective, there, pods, memory)


@pytest.mark.parametrize(
    ("waits", "cpus", "threads"), [(0.0, 1.0, 25), (49.0, 1.0, 42), (49.0, 0.5, 29), (30.0, 1.0, 35)]
)
def test_as_many_threads_as_keep_the_cpu_in_use(
    effective: Callable[..., Any], waits: float, cpus: float, threads: int
) -> None:
    """Up to ThreadLimit 64 less the room of a burst; never fewer than pods start with."""
    load = Load(waited=waits * 100, computed=100.0)
    assert wish(load, effective(), cpus) == threads


def test_nothing_is_concluded_from_a_few_requests(effective: Callable[..., Any]) -> None:
    assert wish(Load(waited=49.0, computed=1.0), effective(), 1.0) == 0


def test_threads_move_by_steps_with_time_between_them(effective: Callable[..., Any]) -> None:
    snapshot = snapshot_of(effective({"maxRequestWorkers": 1000, "threadLimit": 128}), WAITING)
    assert tune(snapshot, TUNE_SECONDS - 1).threads == 25
    first = tune(snapshot, TUNE_SECONDS)
    assert (first.threads, first.changed_at) == (38, TUNE_SECONDS)
    assert "25 to 38" in first.why
    later = replace(snapshot, memory=replace(snapshot.memory, tuning=first))
    assert tune(later, TUNE_SECONDS + 5) == first
    assert tune(later, 2 * TUNE_SECONDS).threads == 52


@pytest.mark.parametrize("change", [{"rolling": True}, {"paused": True}, {"replicas": 0, "pods": ()}])
def test_threads_and_pods_never_move_together(effective: Callable[..., Any], change: dict[str, Any]) -> None:
    snapshot = snapshot_of(effective({"maxRequestWorkers": 1000}), WAITING)
    assert tune(snapshot, 500.0).threads == 38
    assert tune(replace(snapshot, **change), 500.0).threads == 25
    starting = snapshot_of(effective({"maxRequestWorkers": 1000}), WAITING, phase=PodPhase.STARTING)
    assert tune(starting, 500.0).threads == 25


def test_threads_that_do_not_fit_into_max_request_workers_stay(effective: Callable[..., Any]) -> None:
    assert tune(snapshot_of(effective({"maxRequestWorkers": 125}), WAITING), 500.0).threads == 25
    assert tune(snapshot_of(effective({"maxRequestWorkers": 150}), WAITING), 500.0).threads == 37


@pytest.mark.parametrize(("slots", "threads"), [(0, 38), (33, 33), (26, 25), (20, 25)])
def test_threads_grow_only_as_far_as_memory_allows(
    effective: Callable[..., Any], slots: int, threads: int
) -> None:
    """0 = no limit; what pods have is not taken for memory's sake."""
    snapshot = snapshot_of(effective({"maxRequestWorkers": 1000, "threadLimit": 128}), WAITING)
    held = replace(snapshot, memory=replace(snapshot.memory, footprint=Footprint(slots=slots)))
    assert plan(held, 500.0).threads_per_child == threads


def test_threads_leave_room_for_the_pods_that_are_asked_for(effective: Callable[..., Any]) -> None:
    """400 / 12 = 33; below what pods start with they do not go, that many pods never had room."""
    snapshot = snapshot_of(effective({"maxRequestWorkers": 400}), WAITING, threads=42)
    assert plan(snapshot, 500.0).threads_per_child == 42
    by_hand = plan(replace(snapshot, manual_replicas=12), 500.0)
    assert (by_hand.threads_per_child, by_hand.desired) == (33, 12)
    least = replace(snapshot, effective=effective({"maxRequestWorkers": 400}, minReplicas=12))
    assert plan(least, 500.0).threads_per_child == 33
    assert plan(replace(snapshot, manual_replicas=100), 500.0).threads_per_child == 25
    few = replace(snapshot, memory=replace(snapshot.memory, tuning=Tuning(20, 0.0)))
    assert plan(replace(few, manual_replicas=12), 60.0).threads_per_child == 20


def test_a_band_bounds_the_threads(effective: Callable[..., Any]) -> None:
    """A pod more must not lead from one end of the band beyond the other."""
    directives = effective({"maxRequestWorkers": 1000, "minSpareThreads": 30, "maxSpareThreads": 65})
    assert tune(snapshot_of(directives, WAITING), 500.0).threads == 34


def test_given_threads_are_not_tuned(effective: Callable[..., Any]) -> None:
    directives = effective({"maxRequestWorkers": 1000, "threadsPerChild": 25})
    assert plan(snapshot_of(directives, WAITING), 500.0).threads_per_child == 25


def test_a_new_operator_goes_on_with_the_threads_that_the_pods_have(effective: Callable[..., Any]) -> None:
    pods = tuple(
        Pod(f"shop-{n}", PodPhase.READY, 0.0, report=replace(REPORT, settings={"threadsPerChild": threads}))
        for n, threads in enumerate((38, 38, 25))
    )
    snapshot = Snapshot(effective({"maxRequestWorkers": 1000}), pods, 3, fresh(0.0))
    assert plan(snapshot, 1.0).threads_per_child == 38


def test_a_new_operator_waits_for_a_pod_to_tell(effective: Callable[..., Any]) -> None:
    pods = (Pod("shop-0", PodPhase.READY, 0.0),)
    memory = plan(Snapshot(effective(), pods, 1, fresh(0.0)), 1.0).memory
    assert memory is not None
    told = (replace(pods[0], report=replace(REPORT, settings={"threadsPerChild": 38})),)
    assert plan(Snapshot(effective(), told, 1, memory), 2.0).threads_per_child == 38


@pytest.mark.parametrize("rolling", [False, True])
def test_a_new_operator_does_not_take_the_first_pod_for_all(
    effective: Callable[..., Any], rolling: bool
) -> None:
    """The first that tells is new and has the threads it started with; old pods of a rollout count too."""
    old = replace(REPORT, at=2.0, settings={"threadsPerChild": 42})
    silent = tuple(Pod(f"shop-{n}", PodPhase.READY, 0.0, current=not rolling) for n in range(6))
    new = Pod("new", PodPhase.READY, 0.0, report=replace(REPORT, at=2.0))
    directives = effective({"maxRequestWorkers": 1000})
    first = plan(Snapshot(directives, (new, *silent), 7, fresh(0.0), rolling=rolling), 2.0)
    assert first.memory is not None
    told = tuple(replace(pod, report=old) for pod in silent)
    then = plan(Snapshot(directives, (new, *told), 7, first.memory, rolling=rolling), 3.0)
    assert then.threads_per_child == 42


def test_a_new_operator_cuts_nobody_before_it_knows(effective: Callable[..., Any]) -> None:
    silent = tuple(Pod(f"shop-{n}", PodPhase.READY, 0.0) for n in range(6))
    old = Pod("old", PodPhase.READY, 0.0, report=replace(REPORT, settings={"threadsPerChild": 42}))
    new = Pod("new", PodPhase.READY, 0.0, report=REPORT)
    snapshot = Snapshot(effective({"maxRequestWorkers": 1000}), (new, old, *silent), 8, fresh(0.0))
    assert plan(snapshot, 1.0).threads_per_child == 42


def test_server_limit_that_was_left_out_follows_the_threads(effective: Callable[..., Any]) -> None:
    directives = effective({"maxRequestWorkers": 400})
    fewer = directives.with_threads(10, 64)
    assert fewer.server_limit == 40 + 10
    assert fewer.max_pods == 38  # the last one starts with 25 slots, and they must fit
    assert effective({"maxRequestWorkers": 400, "serverLimit": 20}).with_threads(10, 64).server_limit == 20


class Watcher:
    """The planner; remembers the threads it chose and the most slots that pods could have had."""

    def __init__(self) -> None:
        self.threads = [25]
        self.claims = 0

    def __call__(self, snapshot: Snapshot, now: float) -> Plan:
        made = plan(snapshot, now)
        if made.threads_per_child != self.threads[-1]:
            self.threads.append(made.threads_per_child)
        claims = 0
        for pod in snapshot.pods:
            said = pod.report
            claims += 25 if said is None else max(said.threads_ceiling * said.servers, said.total)
        self.claims = max(self.claims, claims)
        return made


def simulated(cpu_s: float, threads: int | None, workers: int) -> tuple[Any, Watcher]:
    mpm = MPMDirectives(threads_per_child=threads, max_request_workers=workers)
    watcher = Watcher()
    rates = [90.0 if second // 60 % 2 else 110.0 for second in range(600)]
    effective = normalise(WebServerSpec(app=App(module="a:b"), mpm=mpm))[0]
    scenario = Scenario(service_s=1.0, warm_up_s=600, cpu_s=cpu_s)
    return simulate(rates, effective, scenario, watcher), watcher


def test_requests_that_wait_get_more_threads_and_need_fewer_pods() -> None:
    given, _ = simulated(0.01, 25, 1000)
    tuned, watcher = simulated(0.01, None, 1000)
    assert watcher.threads == [25, 38, 42] or watcher.threads == [25, 38]
    assert watcher.claims <= 1000
    assert tuned.pod_seconds < 0.85 * given.pod_seconds
    assert tuned.violations_percent < 0.1
    assert tuned.lost == tuned.in_flight_on_victims == 0


def test_requests_that_compute_keep_the_threads_they_had() -> None:
    result, watcher = simulated(0.1, None, 1000)
    assert watcher.threads == [25]
    assert result.flaps_per_hour <= 6


def test_slots_stay_within_max_request_workers_while_threads_are_tuned() -> None:
    _, watcher = simulated(0.01, None, 200)
    assert watcher.claims <= 200
