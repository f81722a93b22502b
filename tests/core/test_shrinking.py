"""When pods go: after the window, one step after the other, and never one that might still be needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from mpm_operator.core.memory import fresh
from mpm_operator.core.plan import VICTIM_COST
from mpm_operator.core.snapshot import Pod, PodPhase, PodState, Report
from mpm_operator.core.victims import Victim, busy_at_choice, choose, follow, is_drained, is_marked

if TYPE_CHECKING:
    from collections.abc import Callable

BAND = {"minSpareThreads": 10, "maxSpareThreads": 30, "threadsPerChild": 10, "threadLimit": 10}
EMPTY = Report(
    at=100.0, boot="a", state=PodState.DRAINED, servers=1, threads_per_child=10, threads_ceiling=10, busy=0,
    idle=0, total=10, queue=0, backlog_limit=511, overflows=0, connections=0, keep_alive=0, accesses=50,
    busy_ms=0, cpu_ms=0, cpu_quota=1.0, throttled_ms=0, rss=0, memory_limit=0,
)  # fmt: skip


def grown(world: Callable[..., Any], window: int, **model: Any) -> Any:
    w = world(BAND, {"scaleDownStabilizationSeconds": window}, startup=1.0, **model)
    w.load = 50
    w.run(20 + window)
    w.load = 0
    return w


def test_the_steps_of_a_victim_in_their_order(world: Callable[..., Any]) -> None:
    w = grown(world, 0)
    seen = []
    for _ in range(12):
        before = w.replicas
        decided = w.step()
        if not decided.victims:
            assert decided.replicas == before
        if decided.replicas < before:
            marked = [pod for pod in w.pods if pod.name in decided.victims and pod.cost == VICTIM_COST]
            assert before - decided.replicas == sum(w.now - 1.0 - pod.cost_at >= 1.0 for pod in marked)
        seen.append((bool(decided.quiesce), bool(decided.victims), decided.replicas < before))
    first = seen[seen.index((True, False, False)) :]
    assert [step for i, step in enumerate(first) if i == 0 or step != first[i - 1]][:3] == [
        (True, False, False),
        (True, True, False),
        (True, True, True),
    ]


def test_nothing_goes_before_the_window_has_passed(world: Callable[..., Any]) -> None:
    w = grown(world, 30)
    peak = w.replicas
    w.run(29)
    assert (w.replicas, w.last.quiesce) == (peak, ())
    w.run(60)
    assert w.replicas < peak


def test_a_short_dip_costs_nothing(world: Callable[..., Any]) -> None:
    w = grown(world, 30)
    writes = w.writes
    for _ in range(10):
        w.load = 0
        w.run(20)
        w.load = 50
        w.run(3)
    assert w.writes == writes
    assert all(not p.quiesce for _, p in w.plans)


def computed(world: Callable[..., Any]) -> Any:
    """Ten busy pods with a computed band, of which two or more have quiesced since the load fell."""
    mpm = {"maxRequestWorkers": 400, "threadsPerChild": 10, "threadLimit": 10}
    w = world(mpm, {"scaleDownStabilizationSeconds": 5}, startup=1.0)
    w.load = 80
    w.run(60)
    w.load = 0
    while sum(pod.state is PodState.QUIESCING for pod in w.pods) < 2:
        w.step()
        assert w.now < 2000
    return w


def test_load_that_comes_back_finds_all_quiesced_pods_again_and_no_new_one(world: Callable[..., Any]) -> None:
    w = computed(world)
    victims, replicas = w.last.quiesce, w.replicas
    w.load = 140
    decided = w.step()
    assert set(decided.resume) == set(victims)
    assert decided.replicas == replicas
    assert "at this moment" in " ".join(decided.decision.chain)
    for _ in range(5):
        assert not w.step().quiesce
        assert all(pod.state is not PodState.QUIESCING for pod in w.living)


def test_what_chance_makes_of_the_load_takes_no_victim_back(world: Callable[..., Any]) -> None:
    w = computed(world)
    usual = w.memory.load.offered / 2  # after the second in which nothing came
    w.load = usual + 4 * usual**0.5
    assert "at this moment" not in " ".join(w.step().decision.chain)


def test_short_spikes_that_threads_can_hold_take_no_victim_back(world: Callable[..., Any]) -> None:
    """One second in ten there are 80 requests, and the threads of two pods hold 128."""
    w = world({"threadsPerChild": 25, "threadLimit": 64}, startup=8.0, service=0.2)
    w.load = 100
    w.run(60)
    began = len(w.plans)
    for second in range(300):
        w.load = 10 if second % 10 else 80
        w.run(1, every=0.25)
    assert any(plan.quiesce for _, plan in w.plans[began:])
    assert not any(plan.resume for _, plan in w.plans[began:])
    assert len(w.living) == 2


def test_a_restarted_operator_only_grows_for_one_window(world: Callable[..., Any]) -> None:
    w = grown(world, 30)
    w.run(25)
    w.memory = fresh(w.now)
    peak = w.replicas
    w.run(29)
    assert (w.replicas, w.last.quiesce) == (peak, ())
    w.run(60)
    assert w.replicas < peak


def test_no_request_is_on_a_pod_that_is_told_to_end(world: Callable[..., Any]) -> None:
    w = grown(world, 5)
    for load in (0, 40, 5, 60, 0, 20):
        w.load = load
        w.run(40)
    assert w.cut == 0


def test_more_than_a_third_silent_freezes_shrinking(world: Callable[..., Any]) -> None:
    w = grown(world, 0)
    for pod in w.accepting[:3]:
        pod.silent = True
    peak = len(w.living)
    w.run(4)
    quiesced = len(w.last.quiesce)
    w.run(30)
    assert len(w.accepting) > 3
    assert len(w.living) >= peak - quiesced - 1
    assert "30 %" in " ".join(n.message for _, p in w.plans for n in p.notes)


def test_a_rollout_shrinks_nothing_and_takes_victims_back(world: Callable[..., Any]) -> None:
    w = grown(world, 0)
    while not w.last.quiesce:
        w.step()
    w.extra.update(rolling=True, surge=1)
    victims, before = w.last.quiesce, w.replicas
    decided = w.step()
    assert set(victims) <= set(decided.resume)
    w.run(20)
    assert (w.replicas, w.last.quiesce) == (before, ())


def test_a_pod_that_starts_goes_before_one_that_serves(world: Callable[..., Any]) -> None:
    w = world(BAND, {"scaleDownStabilizationSeconds": 0}, startup=1.0)
    w.load = 50
    w.run(15)
    w.startup = 60.0
    w.load = 75
    w.run(4)
    starting = [pod.name for pod in w.living if pod.phase is PodPhase.STARTING]
    assert starting
    w.load = 20
    for _ in starting:
        assert w.step().quiesce == ()
    assert not [pod for pod in w.living if pod.phase is PodPhase.STARTING]


def test_least_pods_stay(world: Callable[..., Any]) -> None:
    w = world(BAND, {"scaleDownStabilizationSeconds": 0, "minReplicas": 6}, startup=1.0)
    w.load = 80
    w.run(20)
    w.load = 0
    for _ in range(60):
        w.step()
        assert len(w.accepting) >= 6
    assert w.replicas == 6


def test_more_threads_in_each_pod_cost_no_more_than_a_quarter_of_them_at_a_time(
    world: Callable[..., Any], effective: Callable[..., Any]
) -> None:
    """Half of the pods are too many from one moment to the next, and all of them are busy."""
    w = world({"maxRequestWorkers": 160, "threadsPerChild": 10, "threadLimit": 40}, startup=1.0)
    w.load = 155
    w.run(40)
    assert len(w.accepting) == 16
    w.effective = effective({"maxRequestWorkers": 160, "threadsPerChild": 20, "threadLimit": 40})
    slots = []
    for _ in range(120):
        w.step()
        slots.append(sum(pod.limit for pod in w.accepting))
        assert w.most_slots <= 160
    assert min(slots) >= 110
    assert len(w.living) == 8
    assert sum(pod.threads for pod in w.living) == 160
    assert w.cut == 0


def test_pods_whose_ceilings_cannot_be_lowered_go_at_once_when_the_limit_was_lowered(
    world: Callable[..., Any], effective: Callable[..., Any]
) -> None:
    w = world({"type": "Prefork", "maxRequestWorkers": 64, "startServers": 64}, startup=1.0)
    w.load = 60
    w.run(30)
    assert len(w.accepting) == 8
    w.effective = effective({"type": "Prefork", "maxRequestWorkers": 16})
    assert len(w.step().quiesce) == 6


def pod(name: str, busy: int = 0, zone: str = "", created: float = 0.0, at: float = 100.0) -> Pod:
    return Pod(name, PodPhase.READY, created, report=replace(EMPTY, busy=busy, at=at), zone=zone)


@pytest.mark.parametrize(
    ("pods", "victim"),
    [
        ([pod("a", busy=3), pod("b", busy=1), pod("c", busy=2)], "b"),
        ([pod("a", zone="x"), pod("b", zone="y"), pod("c", zone="y")], "b"),
        ([pod("a", created=1.0), pod("b", created=5.0)], "b"),
        ([pod("a", busy=9), pod("b", at=90.0)], "a"),
    ],
)
def test_the_idlest_goes_then_of_the_fullest_zone_then_the_youngest(pods: list[Pod], victim: str) -> None:
    assert [p.name for p in choose(pods, 1, 101.0)] == [victim]


def test_victims_are_compared_with_what_newest_first_would_have_taken() -> None:
    pods = [
        serving("a", busy=0, created=1.0),
        serving("b", busy=4, created=3.0),
        serving("c", busy=7, created=2.0),
        replace(serving("d", busy=9, created=9.0), phase=PodPhase.TERMINATING),
    ]
    waits, quiet = Victim("a", 0.0), Victim("a", 0.0, busy=1)
    assert busy_at_choice([], [waits], pods) == (0, 0, 0)
    assert busy_at_choice([waits], [quiet], pods) == (1, 1, 4)
    assert busy_at_choice([waits], [quiet, Victim("c", 0.0, busy=6)], pods) == (2, 7, 10)
    assert busy_at_choice([quiet], [quiet], pods) == (0, 0, 0)


def serving(name: str, busy: int = 0, created: float = 0.0, at: float = 100.0) -> Pod:
    one = pod(name, busy, created=created, at=at)
    assert one.report is not None
    return replace(one, report=replace(one.report, state=PodState.SERVING))


def test_a_victim_is_drained_only_when_nothing_new_came_for_two_seconds() -> None:
    victim, now = Victim("a", since=90.0), 100.0
    for second, (accesses, drained) in enumerate(
        [(50, False), (50, False), (51, False), (51, False), (51, True)]
    ):
        report = replace(EMPTY, at=now + second, accesses=accesses)
        seen = Pod("a", PodPhase.UNREADY, 0.0, report=report)
        victim = follow(victim, seen, now + second)
        assert is_drained(victim, seen, 60.0, now + second) is drained


def test_a_victim_in_the_endpoints_is_not_drained_however_quiet() -> None:
    victim = Victim("a", since=0.0)
    for second in range(30):
        seen = Pod("a", PodPhase.READY, 0.0, report=replace(EMPTY, at=100.0 + second), in_endpoints=True)
        victim = follow(victim, seen, 100.0 + second)
        assert not is_drained(victim, seen, 60.0, 100.0 + second)


def test_past_the_drain_deadline_a_victim_goes_whatever_it_serves() -> None:
    report = replace(EMPTY, state=PodState.QUIESCING, busy=1)
    seen = Pod("a", PodPhase.UNREADY, 0.0, report=report)
    victim = follow(Victim("a", since=90.0), seen, 100.0)
    assert not is_drained(victim, seen, 60.0, 159.0)
    assert is_drained(victim, seen, 60.0, 160.0)


def test_the_deletion_cost_counts_when_it_was_seen_for_a_second() -> None:
    marked = Pod("a", PodPhase.UNREADY, 0.0, deletion_cost=VICTIM_COST, deletion_cost_at=100.0)
    assert not is_marked(marked, 100.9)
    assert is_marked(marked, 101.0)
    assert not is_marked(replace(marked, deletion_cost_at=None), 200.0)
    assert not is_marked(replace(marked, deletion_cost=0), 200.0)
