"""A victim quiesces between two requests where such a moment may come, and waits only so long for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from mpm_operator.core.snapshot import Pod, PodPhase, PodState, Report
from mpm_operator.core.victims import (
    HASTE_SECONDS,
    PATIENCE_SECONDS,
    SOON,
    TRY_SECONDS,
    Victim,
    begin,
    exchange,
    waiting,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 100.0


def pod(name: str, busy: int, queue: int = 0, at: float = NOW) -> Pod:
    report = Report(
        at=at, boot="a", state=PodState.SERVING, servers=1, threads_per_child=10, threads_ceiling=10,
        busy=busy, idle=0, total=10, queue=queue, backlog_limit=511, overflows=0, connections=0,
        keep_alive=0, accesses=50, busy_ms=0, cpu_ms=0, cpu_quota=1.0, throttled_ms=0, rss=0, memory_limit=0,
    )  # fmt: skip
    return Pod(name, PodPhase.READY, 0.0, report=report)


def test_who_is_fuller_than_a_moment_could_be_expected_of_quiesces_at_once() -> None:
    assert waiting([begin(pod("a", SOON), NOW)], NOW)
    assert waiting([begin(pod("a", SOON), NOW)], NOW + PATIENCE_SECONDS - 0.1)
    assert not waiting([begin(pod("a", SOON), NOW, haste=True)], NOW + HASTE_SECONDS)
    assert not waiting([begin(pod("a", SOON, queue=1), NOW)], NOW)


def test_an_idler_pod_takes_the_place_of_one_that_was_asked_for_a_second() -> None:
    victim = Victim("a", since=NOW - TRY_SECONDS, until=NOW + 5)
    pods = pod("a", 2), [pod("b", 1), pod("c", 0, at=NOW - 9), pod("d", 3)]
    going, spared = exchange([victim], [pods[0]], pods[1], NOW)
    assert going == [Victim("b", since=NOW, until=NOW + 5)]
    assert spared == ["a"]
    assert exchange(going, [pod("b", 9)], [pod("d", 0)], NOW + 0.5) == (going, [])


def test_who_has_quiesced_stays_the_victim() -> None:
    victim = Victim("a", since=NOW - 9, until=NOW + 1, busy=0)
    assert exchange([victim], [pod("a", 5)], [pod("b", 0)], NOW) == ([victim], [])


LOADS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.sampled_from([NOW, NOW - 9])), max_size=6)


@given(leaving=LOADS, staying=LOADS, quiet=st.sets(st.integers(0, 5)))
def test_no_busy_pod_is_a_victim_beside_an_idler_one_and_nobody_waits_longer(
    leaving: list[tuple[int, int, float]], staying: list[tuple[int, int, float]], quiet: set[int]
) -> None:
    old = {f"v{i}": pod(f"v{i}", *one) for i, one in enumerate(leaving)}
    other = {f"s{i}": pod(f"s{i}", *one) for i, one in enumerate(staying)}
    before = [
        Victim(name, since=NOW - 5, until=NOW + i, busy=0 if i in quiet else None)
        for i, name in enumerate(old)
    ]
    going, spared = exchange(before, old.values(), other.values(), NOW)
    names = [victim.name for victim in going]
    assert sorted(victim.until for victim in going) == sorted(victim.until for victim in before)
    assert len(set(names)) == len(before)
    assert set(names) | set(spared) >= set(old)
    assert not set(names) & set(spared)

    def load(one: Pod) -> int:
        assert one.report is not None
        return one.report.busy + one.report.queue

    audible = [load(one) for name, one in other.items() if name not in names and one.report.at == NOW]  # type: ignore[union-attr]
    for victim in going:
        if victim.busy is None and audible:
            assert load((old | other)[victim.name]) <= min(audible)


def test_pods_that_are_never_idle_go_after_their_patience_and_it_is_told(world: Callable[..., Any]) -> None:
    w = world(
        {"minSpareThreads": 10, "maxSpareThreads": 30, "threadsPerChild": 10, "threadLimit": 10},
        {"scaleDownStabilizationSeconds": 0},
        startup=1.0,
    )
    w.load = 50
    w.run(20)
    w.load = 12
    first: dict[float, float] = {}
    forced = False
    for _ in range(60):
        now = w.now
        decided = w.step()
        for victim in w.memory.victims:
            assert now <= first.setdefault(victim.until, now) + PATIENCE_SECONDS or victim.busy is not None
            forced |= victim.busy is None and now == victim.until
        assert set(decided.patient) <= set(decided.quiesce)
        told = any("wait" in why and "s at most" in why for why in decided.decision.chain)
        assert told == bool(decided.patient)
    assert forced
    assert w.last.desired < 5
    assert w.cut == 0
