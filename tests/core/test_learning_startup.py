"""Start-up times are learned from the pods that started, and said where somebody waits for one."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mpm_operator.core.memory import fresh
from mpm_operator.core.planner import plan
from mpm_operator.core.snapshot import Pod, PodPhase
from mpm_operator.core.startup import KEPT, UNKNOWN_SECONDS, Startups, learn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def pods(seconds: Sequence[float], restarts: int = 0) -> list[Pod]:
    """Pods that became ready one a second, each so long after it was asked for."""
    return [
        Pod(f"shop-{n}", PodPhase.READY, 100.0 + n - took, ready_at=100.0 + n, restarts=restarts)
        for n, took in enumerate(seconds)
    ]


def newest(seen: Sequence[Pod]) -> float:
    return max(pod.ready_at for pod in seen if pod.ready_at is not None)


def test_before_the_first_pod_a_usual_time_is_taken() -> None:
    assert not Startups().known
    assert Startups().usual == UNKNOWN_SECONDS


@given(st.lists(st.floats(0.5, 500), min_size=1, max_size=40), st.integers(1, 7))
def test_the_last_pods_rule_however_they_are_seen(seconds: list[float], at_once: int) -> None:
    """Pods that are shown again, as they are once a second, count once."""
    seen, learned = pods(seconds), Startups()
    for end in (*range(at_once, len(seen), at_once), len(seen)):
        learned = learn(learned, seen[:end], newest(seen[:end]))
        assert learn(learned, seen[:end], newest(seen[:end])) is learned
    assert learned.usual == pytest.approx(median(seconds[-KEPT:]))


@given(st.floats(1, 60), st.integers(0, 7), st.lists(st.floats(0, 600), min_size=7, max_size=7))
def test_few_strange_pods_do_not_rule(usual: float, strange: int, others: list[float]) -> None:
    seen = pods([usual] * (KEPT - strange) + others[:strange])
    assert learn(Startups(), seen, newest(seen)).usual == pytest.approx(usual)


@pytest.mark.parametrize(("took", "restarts"), [(8.0, 1), (86_400.0, 0), (-1.0, 0)])
def test_what_was_no_plain_start_teaches_nothing(took: float, restarts: int) -> None:
    seen = pods([took], restarts)
    assert not learn(Startups(), seen, newest(seen)).known


def test_pods_that_start_say_when_they_are_ready(world: Callable[..., Any]) -> None:
    w = world({"threadsPerChild": 10, "threadLimit": 10}, startup=10.0)
    w.run(30)
    w.load = 100
    w.run(4)
    assert w.memory.startups.usual == pytest.approx(10, abs=3)
    assert "start, ready in about" in w.last.decision.chain[0]


def test_pods_that_take_longer_than_others_say_so(world: Callable[..., Any]) -> None:
    w = world({"threadsPerChild": 10, "threadLimit": 10}, startup=5.0)
    w.run(30)
    w.startup, w.load = 60.0, 100
    w.run(20)
    assert "s for others and takes" in w.last.decision.chain[0]


def test_a_new_operator_learns_from_the_pods_that_it_finds(world: Callable[..., Any]) -> None:
    w = world({"threadsPerChild": 10}, startup=10.0)
    w.load = 50
    w.run(60)
    again = plan(replace(w.seen, memory=fresh(w.now)), w.now)
    assert again.memory is not None
    assert again.memory.startups.usual == pytest.approx(w.memory.startups.usual, abs=2)
