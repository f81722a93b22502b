"""What users read: decisions with their reasons, conditions that hold still, troubles told once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from mpm_operator.core import explain
from mpm_operator.core.conditions import accepted
from mpm_operator.core.effective import Correction
from mpm_operator.core.memory import fresh
from mpm_operator.core.plan import Condition, ConditionStatus, Decision
from mpm_operator.core.planner import plan
from mpm_operator.core.snapshot import Pod, PodPhase, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

BAND = {"minSpareThreads": 10, "maxSpareThreads": 30, "threadsPerChild": 10, "threadLimit": 10}


def by_type(w: Any) -> dict[str, Condition]:
    return {condition.type: condition for condition in w.last.conditions}


def test_accepted_names_each_correction() -> None:
    assert accepted(()).reason == "Valid"
    corrected = accepted([Correction("spec.mpm.serverLimit", "AH00499: ServerLimit of 0 means nothing.")])
    assert (corrected.status, corrected.reason) == (ConditionStatus.TRUE, "Corrected")
    assert "spec.mpm.serverLimit: AH00499" in corrected.message


def test_a_growth_names_the_number_the_law_and_the_inputs(world: Callable[..., Any]) -> None:
    w = world(BAND, startup=1.0)
    w.load = 20
    w.run(10)
    w.load = 70
    decided = w.step()
    assert decided.decision.reason == "QueueFormed"
    assert "3 to 4 pods" in decided.decision.message
    assert "MinSpareThreads 10" in decided.decision.message
    assert decided.decision.chain[0] == "3 pods accept with 30 slots, 30 busy, 40 waiting"


def test_what_holds_shrinking_is_said_with_its_end(world: Callable[..., Any]) -> None:
    w = world(BAND, {"scaleDownStabilizationSeconds": 60}, startup=1.0)
    w.load = 60
    w.run(70)
    w.load = 0
    w.run(20)
    assert w.last.decision.reason == "Stabilizing"
    assert "needed within the last 60 s" in w.last.decision.message
    assert any("s from now" in sentence for sentence in w.last.decision.chain)


def test_under_a_load_that_only_trembles_nothing_that_is_written_changes(world: Callable[..., Any]) -> None:
    w = world(BAND, startup=1.0)
    w.load = 36
    w.run(200)
    shown = (w.last.decision.reason, w.last.decision.message, w.last.conditions)
    for second in range(60):
        w.load = 36 + (-1) ** second * 3
        w.step()
        assert (w.last.decision.reason, w.last.decision.message, w.last.conditions) == shown
        assert w.last.notes == ()


def test_a_saturated_pool_says_so_until_it_has_been_calm(world: Callable[..., Any]) -> None:
    w = world({**BAND, "maxRequestWorkers": 20}, startup=1.0)
    w.load = 50
    w.run(10)
    assert by_type(w)["Saturated"].status is ConditionStatus.TRUE
    w.load = 0
    w.run(5)
    assert by_type(w)["Saturated"].status is ConditionStatus.TRUE
    w.run(10)
    assert by_type(w)["Saturated"].status is ConditionStatus.FALSE


def test_a_pods_own_words_reach_the_condition(effective: Callable[..., Any]) -> None:
    words = 'ImagePullBackOff: Back-off pulling image "shop:2"'
    pod = Pod("shop-1", PodPhase.FAILED, 0.0, trouble=words)
    decided = plan(Snapshot(effective(BAND), (pod,), 1, fresh(0.0)), 1.0)
    found = {condition.type: condition for condition in decided.conditions}
    for name in ("Available", "Progressing", "Ready"):
        assert (found[name].status, found[name].message) == (ConditionStatus.FALSE, words)
    assert words in [note.message for note in decided.notes]


def test_pods_that_nobody_can_reach_point_to_the_network_policy(world: Callable[..., Any]) -> None:
    w = world({**BAND, "startServers": 2}, startup=0.0)
    w.run(2)
    for pod in w.pods:
        pod.silent, pod.last = True, None
    w.run(9)
    assert by_type(w)["ScalingActive"].status is ConditionStatus.TRUE
    w.run(5)
    active = by_type(w)["ScalingActive"]
    assert (active.status, active.reason) == (ConditionStatus.FALSE, "ScoreboardsUnreachable")
    assert "NetworkPolicy" in active.message
    assert w.replicas == 2
    assert len([n for _, p in w.plans for n in p.notes if n.reason == "ScoreboardsUnreachable"]) == 1


@pytest.mark.parametrize(
    ("phase", "available", "reason"),
    [
        (PodPhase.STARTING, ConditionStatus.FALSE, "NoPodServes"),
        (PodPhase.READY, ConditionStatus.TRUE, "PodsServing"),
    ],
)
def test_available_follows_the_pods(
    effective: Callable[..., Any], phase: PodPhase, available: ConditionStatus, reason: str
) -> None:
    decided = plan(Snapshot(effective(BAND), (Pod("shop-1", phase, 0.0),), 1, fresh(0.0)), 1.0)
    found = {condition.type: condition for condition in decided.conditions}
    assert (found["Available"].status, found["Available"].reason) == (available, reason)
    assert found["Ready"].status is available


def test_another_scaler_is_named(effective: Callable[..., Any]) -> None:
    snapshot = Snapshot(effective(BAND), (Pod("shop-1", PodPhase.READY, 0.0),), 1, fresh(0.0))
    decided = plan(replace(snapshot, foreign_scaler="HorizontalPodAutoscaler/shop"), 1.0)
    found = {condition.type: condition for condition in decided.conditions}
    assert found["ScalingActive"].reason == "ScalingConflict"
    assert "HorizontalPodAutoscaler/shop" in found["ScalingActive"].message
    assert decided.decision.reason == "ScalingConflict"


def test_fast_growth_carries_httpds_warning(world: Callable[..., Any]) -> None:
    w = world({**BAND, "maxRequestWorkers": 2000}, startup=1.0)
    w.load = 5
    w.run(10)
    w.load = 1500
    w.run(10)
    assert [n for _, p in w.plans for n in p.notes if "server seems busy" in n.message]


@pytest.mark.parametrize(
    ("by_hand", "reason"),
    [
        ({"foreign_scaler": "HorizontalPodAutoscaler/shop"}, "ScalingConflict"),
        ({"manual_replicas": 3}, "ManualReplicas"),
        ({"paused": True}, "Paused"),
    ],
)
def test_what_somebody_took_away_is_not_told_any_longer(
    world: Callable[..., Any], by_hand: dict[str, Any], reason: str
) -> None:
    w = world(BAND, startup=1.0)
    w.load = 15
    w.run(10)
    w.extra |= by_hand
    assert w.step().decision.reason == reason
    assert by_type(w)["ScalingActive"].status is ConditionStatus.FALSE
    w.extra.clear()
    assert w.step().decision.reason != reason
    assert by_type(w)["ScalingActive"].reason == "Scoreboards"


def test_the_server_limit_to_set_is_above_the_one_that_is_reached(world: Callable[..., Any]) -> None:
    w = world({**BAND, "maxRequestWorkers": 100, "serverLimit": 14}, startup=1.0)
    w.load = 20
    w.run(10)
    w.extra |= {"rolling": True, "surge": 11}
    w.load = 90
    w.step()
    limited = by_type(w)["ScalingLimited"]
    assert limited.reason == "ServerLimitReached"
    found = re.search(r"raise serverLimit to (\d+)", limited.message)
    assert found is not None
    assert int(found[1]) > 14


@pytest.mark.parametrize(
    ("before", "pods", "now", "reason"),
    [
        (5, 5, 6, "ScaledUp"),
        (5, 5, 4, "ScaledDown"),
        (11, 9, 10, None),
        (7, 5, 5, None),
        (5, 5, 5, None),
    ],
    ids=["more", "less", "less than was asked for, and more than there is", "called off", "nothing"],
)
def test_an_event_tells_what_becomes_of_the_pods_that_there_are(
    before: int, pods: int, now: int, reason: str | None
) -> None:
    memory = replace(fresh(0.0), desired=before)
    found = explain.notes(memory, Decision("LoadFell", "words"), pods, now, memory.spawn)
    assert [note.reason for note in found] == ([reason] if reason else [])
