"""Any snapshot gives a plan, and no bound is broken in the closed loop, whatever gets lost or comes late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mpm_operator.core.memory import fresh
from mpm_operator.core.plan import VICTIM_COST
from mpm_operator.core.planner import plan
from mpm_operator.core.snapshot import Pod, PodPhase, PodState, Report, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_operator.core.directives import Effective

COUNT = st.integers(0, 300)
TIME = st.floats(0, 2000, allow_nan=False)

REPORTS = st.builds(
    # By a function: hypothesis would look up the types of the fields, which are only there for the checker.
    lambda **said: Report(**said),
    at=TIME,
    boot=st.sampled_from(["a", "b"]),
    state=st.sampled_from(PodState),
    servers=st.integers(0, 20),
    threads_per_child=COUNT,
    threads_ceiling=COUNT,
    busy=COUNT,
    idle=COUNT,
    total=COUNT,
    queue=COUNT,
    backlog_limit=COUNT,
    overflows=COUNT,
    connections=COUNT,
    keep_alive=COUNT,
    accesses=st.integers(0, 10**9),
    busy_ms=st.integers(0, 10**12),
    cpu_ms=COUNT,
    cpu_quota=st.floats(0, 64),
    throttled_ms=COUNT,
    rss=COUNT,
    memory_limit=COUNT,
    settings=st.dictionaries(
        st.sampled_from(["threadsPerChild", "processes", "keepAlive", "timeoutSeconds"]), st.integers(0, 100)
    ),
    sequence=COUNT,
)
PODS = st.builds(
    Pod,
    name=st.sampled_from([f"shop-{n}" for n in range(12)]),
    phase=st.sampled_from(PodPhase),
    created_at=TIME,
    ready_at=st.none() | TIME,
    report=st.none() | REPORTS,
    current=st.booleans(),
    in_endpoints=st.booleans(),
    zone=st.sampled_from(["", "a", "b"]),
    deletion_cost=st.sampled_from([0, VICTIM_COST, 7]),
    deletion_cost_at=st.none() | TIME,
    trouble=st.sampled_from(["", "CrashLoopBackOff"]),
)
MPMS = st.fixed_dictionaries(
    {"type": st.sampled_from(["Prefork", "Worker", "Event"])},
    optional={
        "threadsPerChild": st.integers(1, 64),
        "threadLimit": st.integers(1, 128),
        "minSpareThreads": st.integers(1, 100),
        "maxSpareThreads": st.integers(1, 300),
        "minSpareServers": st.integers(1, 100),
        "maxRequestWorkers": st.integers(1, 1000),
        "serverLimit": st.integers(1, 100),
        "processesPerPod": st.integers(1, 8),
        "startServers": st.integers(1, 20),
    },
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_snapshot_gives_a_plan_and_the_same_one_twice(
    data: st.DataObject, effective: Callable[..., Effective]
) -> None:
    directives = effective(
        data.draw(MPMS), minReplicas=data.draw(st.integers(1, 5)), scaleDownStabilizationSeconds=0
    )
    memory = fresh(0.0)
    now = 1000.0
    for _ in range(4):
        snapshot = Snapshot(
            effective=directives,
            pods=tuple(data.draw(st.lists(PODS, max_size=8, unique_by=lambda pod: pod.name))),
            replicas=data.draw(st.none() | st.integers(0, 12)),
            memory=memory,
            desired_before=data.draw(st.none() | st.integers(0, 12)),
            manual_replicas=data.draw(st.none() | st.integers(0, 12)),
            rolling=data.draw(st.booleans()),
            surge=data.draw(st.integers(0, 3)),
            paused=data.draw(st.booleans()),
            foreign_scaler=data.draw(st.sampled_from(["", "HorizontalPodAutoscaler/shop"])),
            pooled=data.draw(st.booleans()),
        )
        first = plan(snapshot, now)
        assert first == plan(snapshot, now)
        assert first.replicas >= 0
        assert first.desired >= 0
        assert first.due > now
        assert not set(first.quiesce) & set(first.resume)
        assert set(first.victims) <= set(first.quiesce)
        assert first.decision.reason
        assert first.decision.message
        assert first.memory is not None
        memory = first.memory
        now += data.draw(st.floats(0, 30))


EPISODES = st.lists(
    st.tuples(st.floats(0, 1.5), st.integers(1, 12), st.sampled_from([0.1, 1.0, 1.7])), min_size=1, max_size=6
)


@settings(max_examples=150, deadline=None)
@given(
    mpm=MPMS,
    least=st.integers(1, 4),
    window=st.sampled_from([0, 10]),
    startup=st.floats(0, 10),
    lost=st.sampled_from([0.0, 0.3]),
    delay=st.sampled_from([0.0, 3.0]),
    seed=st.integers(0, 1000),
    episodes=EPISODES,
)
def test_no_bound_is_broken_in_the_closed_loop(
    world: Callable[..., Any],
    mpm: dict[str, Any],
    least: int,
    window: int,
    startup: float,
    lost: float,
    delay: float,
    seed: int,
    episodes: list[tuple[float, int, float]],
) -> None:
    scaling = {"minReplicas": least, "scaleDownStabilizationSeconds": window}
    w = world(mpm, scaling, startup=startup, lost=lost, delay=delay, seed=seed)
    e = w.effective
    for share, steps, seconds in episodes:
        w.load = share * e.max_request_workers
        for pod in w.pods:
            pod.silent = w.dice.random() < 0.1
        for _ in range(steps):
            decided = w.step(seconds)
            assert w.most_slots <= e.max_request_workers
            assert len(w.pods) * e.processes_per_pod <= e.server_limit
            assert decided.replicas >= e.min_replicas
            assert len(w.living) <= e.max_pods
    assert w.cut == 0


@settings(max_examples=25, deadline=None)
@given(
    numbers=st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), min_size=2, max_size=5),
    share=st.floats(0, 1.5),
    lost=st.sampled_from([0.0, 0.3]),
    delay=st.sampled_from([0.0, 0.9]),
    seed=st.integers(0, 1000),
)
def test_servers_that_come_and_go_stay_within_max_request_workers(
    world: Callable[..., Any],
    effective: Callable[..., Effective],
    numbers: list[tuple[int, int]],
    share: float,
    lost: float,
    delay: float,
    seed: int,
) -> None:
    """Changed while pods start and calls get lost, and again before the last change has arrived."""
    mpm = {"maxRequestWorkers": 240, "threadsPerChild": 10, "threadLimit": 30}
    scaling = {"scaleDownStabilizationSeconds": 0}
    w = world(mpm | {"processesPerPod": numbers[0][0]}, scaling, lost=lost, delay=delay, seed=seed)
    w.load = share * 240
    for servers, steps in numbers:
        w.effective = effective(mpm | {"processesPerPod": servers}, **scaling)
        for _ in range(steps):
            w.step()
            assert w.most_slots <= 240
    w.lost = w.delay = 0.0
    w.run(100)
    assert w.most_slots <= 240
    assert {pod.servers for pod in w.pods} == {numbers[-1][0]}


@settings(max_examples=30, deadline=None)
@given(mpm=MPMS, window=st.sampled_from([0, 10]), startup=st.floats(0, 5), share=st.floats(0, 0.6))
def test_a_constant_load_settles_and_then_nothing_is_written(
    world: Callable[..., Any], mpm: dict[str, Any], window: int, startup: float, share: float
) -> None:
    w = world(mpm, {"scaleDownStabilizationSeconds": window}, startup=startup)
    e = w.effective
    w.load = share * e.max_request_workers
    w.run(40 + 12.0 * e.max_pods)
    writes, controls, shown = w.writes, w.controls, len(w.accepting)
    w.run(60)
    assert (w.writes, w.controls, len(w.accepting)) == (writes, controls, shown)
    assert len(w.living) == w.last.replicas == w.last.desired
    if e.band is not None and e.min_replicas < shown < e.max_pods:
        idle = shown * e.slots_per_pod - round(w.load)
        assert e.band.min_spare <= idle <= e.band.max_spare


@settings(max_examples=15, deadline=None)
@given(startup=st.floats(1, 30), load=st.floats(20, 300), percent=st.sampled_from([1, 5, 20]))
def test_pods_that_start_are_not_asked_for_again(
    world: Callable[..., Any], startup: float, load: float, percent: int
) -> None:
    w = world(
        {"maxRequestWorkers": 4000, "threadsPerChild": 25, "threadLimit": 25},
        {"waitProbabilityPercent": percent, "scaleDownStabilizationSeconds": 600},
        startup=startup,
    )
    w.load = 2
    w.run(120)
    w.load = load
    w.run(10 * startup + 120)
    settled = w.last.desired
    assert max(p.desired for _, p in w.plans) <= max(settled, 3) + 1


def test_a_plan_of_another_moment_changes_nothing_by_itself(world: Callable[..., Any]) -> None:
    w = world({"minSpareThreads": 10, "maxSpareThreads": 60, "threadsPerChild": 10})
    w.load = 25
    w.run(30)
    again = plan(replace(w.snapshot()), w.now)
    later = plan(replace(w.snapshot(), memory=again.memory), w.now)
    assert (again.desired, again.replicas) == (later.desired, later.replicas)
