"""Pods for an offered load: what a queue adds, and when the load must be more than what was counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from mpm_operator.core.estimator import Load
from mpm_operator.core.law import by_load, remember
from mpm_operator.core.memory import fresh
from mpm_operator.core.snapshot import Pod, PodPhase, PodState, Report, Snapshot
from mpm_operator.core.survey import Survey, survey

if TYPE_CHECKING:
    from collections.abc import Callable

STEADY = Load(samples=60, rate=300.0, inside=125.0, served=1000.0, held=1000.0)
"""300 requests a second of one second each."""
REPORT = Report(
    at=0.0, boot="a", state=PodState.SERVING, servers=1, threads_per_child=25, threads_ceiling=64, busy=12,
    idle=13, total=25, queue=0, backlog_limit=511, overflows=0, connections=0, keep_alive=0, accesses=0,
    busy_ms=0, cpu_ms=0, cpu_quota=1.0, throttled_ms=0, rss=0, memory_limit=0,
)  # fmt: skip


def needed(
    effective: Callable[..., Any], load: Load, queue: int, have: int = 5, coming: int = 0
) -> tuple[int, str]:
    directives = effective({"threadsPerChild": 25, "maxRequestWorkers": 10_000})
    pods = [Pod(f"shop-{n}", PodPhase.READY, 0.0) for n in range(have)]
    starting = [Pod(f"new-{n}", PodPhase.STARTING, 0.0) for n in range(coming)]
    seen = Survey(accepting=pods, starting=starting, busy=25 * have, queue=queue, slots=25 * have)
    need = by_load(directives, load, seen, have + coming, pooled=False)
    return need.want, need.reason


@pytest.mark.parametrize(("queue", "pods"), [(0, 18), (500, 18), (1500, 18), (2500, 22)])
def test_a_backlog_that_spare_slots_drain_asks_for_no_pod(
    effective: Callable[..., Any], queue: int, pods: int
) -> None:
    assert needed(effective, STEADY, queue, coming=13)[0] == pods


def staffed(effective: Callable[..., Any], cpu_ms: int, **more: int) -> int:
    """Pods for 300 erlangs where five pods report; a request takes `cpu_ms` of CPU of its second."""
    directives = effective({"threadsPerChild": 25, "maxRequestWorkers": 10_000, **more})
    pods = [Pod(f"shop-{n}", PodPhase.READY, 0.0, report=REPORT) for n in range(5)]
    seen = Survey(accepting=pods, busy=60, slots=125, cpus=1.0)
    return by_load(directives, replace(STEADY, burnt=cpu_ms), seen, 5, pooled=False).want


def test_pods_that_may_burst_are_fewer(effective: Callable[..., Any]) -> None:
    """A request waits only where the burst is exhausted: threads first, then pods."""
    plain = staffed(effective, 0, threadLimit=25)
    assert plain == 18  # 300 / (0.68 x 25): at most 5 % wait
    assert staffed(effective, 0) == 15
    assert staffed(effective, 0, threadLimit=30) == plain  # too little room to catch a random peak


@pytest.mark.parametrize(("limit", "pods"), [(25, 24), (64, 15)])
def test_a_queue_is_drained_by_all_threads_that_there_may_be(
    effective: Callable[..., Any], limit: int, pods: int
) -> None:
    """3,000 requests of a second in 10 s are the work of 300 slots beside the 300 of the load."""
    directives = effective({"threadsPerChild": 25, "maxRequestWorkers": 10_000, "threadLimit": limit})
    accepting = [Pod(f"shop-{n}", PodPhase.READY, 0.0, report=REPORT) for n in range(15)]
    seen = Survey(accepting=accepting, busy=300, queue=3000, slots=375, cpus=1.0)
    assert by_load(directives, STEADY, seen, 15, pooled=False).want == pods


def test_full_ordinary_slots_are_no_reason_for_a_pod_where_threads_may_be_added(
    effective: Callable[..., Any],
) -> None:
    directives = effective({"threadsPerChild": 25, "maxRequestWorkers": 10_000})
    pods = [Pod("shop-0", PodPhase.READY, 0.0, report=REPORT)]
    calm = replace(STEADY, rate=18.0, inside=18.0)
    for busy, pods_wanted in ((25, 1), (64, 2)):
        seen = Survey(accepting=pods, busy=busy, queue=3, slots=25, cpus=1.0)
        assert by_load(directives, calm, seen, 1, pooled=False).want == pods_wanted


def test_a_burst_that_the_cpu_cannot_carry_does_not_count(effective: Callable[..., Any]) -> None:
    assert staffed(effective, 10) == 15  # 0.8 / 0.01 = 80 slots
    assert staffed(effective, 40) == 18  # 0.8 / 0.04 = 20 slots


def test_the_first_requests_of_a_load_do_not_tell_how_much_the_others_compute(
    effective: Callable[..., Any],
) -> None:
    """Thirteen were begun and have had their CPU; seven are complete, the shortest."""
    directives = effective({"threadsPerChild": 5, "threadLimit": 12, "maxRequestWorkers": 96})
    pods = [Pod(f"shop-{n}", PodPhase.READY, 0.0, report=REPORT) for n in range(5)]
    seen = Survey(accepting=pods, busy=13, slots=25, cpus=1.0)
    begun = Load(samples=2, rate=20.0, inside=13.0, served=7.0, held=1.65, burnt=0.21)
    assert by_load(directives, begun, seen, 5, pooled=False).want <= 5
    known = replace(begun, served=1000.0, held=236.0, burnt=30.0)
    assert by_load(directives, known, seen, 5, pooled=False).want == 7


def test_a_burst_counts_only_within_max_request_workers(effective: Callable[..., Any]) -> None:
    assert staffed(effective, 0, maxRequestWorkers=150) == 18


@pytest.mark.parametrize(
    ("servers", "quota", "cpus"), [(1, 8.0, 1.0), (4, 8.0, 4.0), (4, 1.0, 1.0), (1, 0.5, 0.5)]
)
def test_a_server_uses_one_cpu_however_many_its_node_has(
    effective: Callable[..., Any], servers: int, quota: float, cpus: float
) -> None:
    directives = replace(effective(), processes_per_pod=servers)
    pod = Pod("shop-0", PodPhase.READY, 0.0, report=replace(REPORT, cpu_quota=quota))
    assert survey(Snapshot(directives, (pod,), 1, fresh(0.0)), (), 0.0).cpus == cpus


def test_work_for_the_cpu_asks_for_pods_whatever_slots_are_free(effective: Callable[..., Any]) -> None:
    """300 requests a second of 100 ms of CPU: 30 CPUs, each used up to 80 %."""
    computing = replace(STEADY, burnt=100.0)
    directives = effective({"threadsPerChild": 64, "maxRequestWorkers": 10_000})
    pods = [Pod(f"shop-{n}", PodPhase.READY, 0.0, report=REPORT) for n in range(5)]
    seen = Survey(accepting=pods, busy=60, slots=320, cpus=1.0)
    need = by_load(directives, computing, seen, 5, pooled=False)
    assert need.want == 38
    assert "30 CPUs of work" in need.why
    assert by_load(directives, computing, replace(seen, cpus=4.0), 5, pooled=False).want == 10


def test_what_was_lost_before_new_pods_came_doubles_nothing(effective: Callable[..., Any]) -> None:
    lost = replace(STEADY, rate=60.0, inside=60.0, overflowing=True)
    directives = effective({"threadsPerChild": 25, "maxRequestWorkers": 10_000})
    pods = [Pod(f"shop-{n}", PodPhase.READY, 0.0) for n in range(20)]
    seen = Survey(accepting=pods, busy=500, queue=2000, slots=500, fresh=True)
    assert by_load(directives, lost, seen, 20, pooled=False).reason != "BacklogOverflows"
    assert by_load(directives, lost, replace(seen, fresh=False), 20, pooled=False).want == 40


def test_overflowing_queues_double_the_pods_once(effective: Callable[..., Any]) -> None:
    lost = replace(STEADY, rate=60.0, inside=60.0, overflowing=True)
    assert needed(effective, lost, 2000, have=20) == (40, "BacklogOverflows")
    assert needed(effective, lost, 2000, have=20, coming=20)[1] != "BacklogOverflows"


def test_a_queue_that_stands_still_is_clients_that_wait(effective: Callable[..., Any]) -> None:
    closed = replace(STEADY, rate=100.0, served=2000.0, held=100.0, inside=5.0, held_back=3.0)
    assert needed(effective, closed, 100, have=2) == (8, "QueueFormed")
    assert needed(effective, closed, 0, have=2)[0] == 1
    # Pods on their way count: the same clients ask for nothing more.
    assert needed(effective, closed, 100, have=2, coming=6)[1] != "QueueFormed"
    assert needed(effective, replace(closed, held_back=1.0), 100, have=2)[0] == 3


def test_full_slots_and_a_queue_ask_for_a_pod_before_the_load_is_known(effective: Callable[..., Any]) -> None:
    assert needed(effective, Load(), 3, have=1) == (2, "QueueFormed")
    assert needed(effective, Load(), 3, have=1, coming=1)[0] <= 2
    assert needed(effective, Load(), 0, have=1)[0] == 1


def test_the_window_remembers_its_greatest_need_and_forgets_it_in_time() -> None:
    peaks: tuple[tuple[float, int], ...] = ()
    maxima = []
    for second, keep in enumerate([3, 5, 4, 2, 2, 2, 2, 6, 1]):
        peaks = remember(peaks, keep, 3.0, float(second))
        maxima.append(peaks[0][1])
    assert maxima == [3, 5, 5, 5, 4, 2, 2, 6, 6]
    assert remember(peaks, 1, 0.0, 9.0) == ((9.0, 1),)


@pytest.mark.parametrize(
    ("load", "told"),
    [
        (STEADY, "300.0 slots (300.0 requests/s x 1000 ms, 0 waiting)"),
        (Load(samples=60, inside=40.0), "40.0 slots (always busy, 0 waiting)"),
    ],
    ids=["counted", "never complete"],
)
def test_the_sentence_tells_where_the_load_is_known_from(
    effective: Callable[..., Any], load: Load, told: str
) -> None:
    seen = Survey(accepting=[Pod("shop-0", PodPhase.READY, 0.0)], busy=25, slots=25)
    assert told in by_load(effective({"threadsPerChild": 25}), load, seen, 1, pooled=False).why
