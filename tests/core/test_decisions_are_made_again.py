"""Kept decisions: a dump read back holds the same values, and planning them again gives the same plans."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mpm_operator.core.memory import fresh
from mpm_operator.core.planner import plan
from mpm_operator.core.record import Ring, dump, load, replay
from mpm_operator.core.snapshot import Pod, PodPhase, Snapshot
from mpm_operator.core.values import BadValue

if TYPE_CHECKING:
    from collections.abc import Callable

LOADS = st.lists(st.integers(0, 200), min_size=1, max_size=6)
DIRECTIVES = st.sampled_from(
    [
        {"threadsPerChild": 10, "maxRequestWorkers": 100},
        {"maxRequestWorkers": 400},
        {"type": "Prefork", "maxRequestWorkers": 64},
        {"threadsPerChild": 10, "minSpareThreads": 10, "maxSpareThreads": 40, "maxRequestWorkers": 200},
    ]
)


def recorded(world: Any, loads: list[int]) -> Ring:
    """Let the world live under these loads, ten seconds each, and keep its decisions."""
    ring = Ring()
    for load_now in loads:
        world.load = float(load_now)
        for _ in range(10):
            at = world.now
            made = world.step()
            ring.add("shop", at, at, world.seen, made)
    return ring


@given(loads=LOADS, directives=DIRECTIVES, lost=st.sampled_from([0.0, 0.3]))
@settings(max_examples=25, deadline=None)
def test_a_dump_holds_the_same_values_and_gives_the_same_decisions(
    world: Callable[..., Any], loads: list[int], directives: dict[str, Any], lost: float
) -> None:
    ring = recorded(world(directives, {"scaleDownStabilizationSeconds": 10}, lost=lost), loads)
    records, latest = load(dump(ring.of(), ring.latest))
    assert records == ring.of()
    assert latest == ring.latest
    assert [replay(record) for record in records] == [""] * len(records)
    assert records


def test_another_input_is_another_decision(world: Callable[..., Any]) -> None:
    """The recorded plan does not come from the file alone: other pods, another plan."""
    record = recorded(world(), [0, 100, 200]).of()[-1]
    assert replay(record) == ""
    assert "recorded" in replay(replace(record, snapshot=replace(record.snapshot, replicas=9)))


def first_plan(effective: Callable[..., Any], pods: int) -> tuple[Snapshot, Any]:
    there = tuple(Pod(f"shop-{n}", PodPhase.READY, 0.0) for n in range(pods))
    snapshot = Snapshot(effective(), there, pods, fresh(0.0))
    return snapshot, plan(snapshot, 1.0)


def test_only_what_changed_something_is_kept(effective: Callable[..., Any]) -> None:
    ring = Ring()
    snapshot, made = first_plan(effective, 3)
    for second in range(1, 5):
        ring.add("shop", 0.0, float(second), snapshot, made)
        snapshot = replace(snapshot, memory=made.memory)
        made = plan(snapshot, second + 1.0)
    assert len(ring.of("shop")) == 1
    assert ring.latest["shop"].decision.chain


def test_the_ring_is_bounded_in_decisions_and_in_pods(effective: Callable[..., Any]) -> None:
    ring = Ring(kept=5, pods=20)
    snapshot, made = first_plan(effective, 3)
    for number in range(8):
        ring.add(f"shop-{number}", 0.0, 1.0, snapshot, made)
    assert [record.name for record in ring.of()] == [f"shop-{number}" for number in range(3, 8)]
    large, made = first_plan(effective, 19)
    ring.add("large", 0.0, 1.0, large, made)
    assert [record.name for record in ring.of()] == ["large"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "expected JSON"),
        ('{"format": "other"}', "format: expected mpm-decisions/1"),
        ('{"format": "mpm-decisions/1", "latest": {}, "decisions": [{"name": 3}]}', r"decisions\[0\]"),
        ('{"format": "mpm-decisions/1", "latest": {"a": 4}, "decisions": []}', r"latest\.a"),
        ('{"format": "mpm-decisions/1"}', "decisions"),
    ],
)
def test_what_is_no_dump_is_refused_with_the_place(text: str, words: str) -> None:
    with pytest.raises(BadValue, match=words):
        load(text)


def test_a_dump_is_plain_json(world: Callable[..., Any]) -> None:
    """Infinity is no JSON: other programs must be able to read a dump."""
    ring = recorded(world(), [50])

    def refuse(name: str) -> None:
        raise AssertionError(name)

    json.loads(dump(ring.of(), ring.latest), parse_constant=refuse)
