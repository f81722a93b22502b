"""When a status is worth a write, and what its times say."""

from __future__ import annotations

from typing import Any

import pytest

from mpm_operator.core.plan import Condition, ConditionStatus, Decision
from mpm_operator.kube.status import conditions, decision, essence, workers_moved


def status(**changes: Any) -> dict[str, Any]:
    return {
        "replicas": 3,
        "decision": {"reason": "Steady", "message": "3 pods: 12 idle", "time": "2026-01-01T00:00:00Z"},
        "workers": {"busy": 3, "idle": 12, "total": 15, "queue": 0},
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "Serving", "message": "m", "observedGeneration": 1}
        ],
    } | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"workers": {"busy": 4, "idle": 11, "total": 15, "queue": 0}},
        {"decision": {"reason": "Steady", "message": "3 pods: 11 idle", "time": "2026-01-01T00:01:00Z"}},
    ],
)
def test_numbers_that_move_all_the_time_are_no_change(changes: dict[str, Any]) -> None:
    assert essence(status(**changes)) == essence(status())


@pytest.mark.parametrize(
    "changes",
    [
        {"replicas": 4},
        {"readyReplicas": 1},
        {"decision": {"reason": "SpareThreadsLow", "message": "3 pods: 12 idle"}},
        {"conditions": []},
        {"conditions": [{"type": "Ready", "status": "False", "reason": "Serving", "message": "m"}]},
    ],
)
def test_what_a_person_would_want_to_know_is_a_change(changes: dict[str, Any]) -> None:
    assert essence(status(**changes)) != essence(status())


def test_the_message_of_accepted_counts_because_it_is_about_what_was_written() -> None:
    def said(message: str) -> dict[str, Any]:
        return status(
            conditions=[{"type": "Accepted", "status": "True", "reason": "Valid", "message": message}]
        )

    assert essence(said("a")) != essence(said("b"))


@pytest.mark.parametrize(("busy", "moved"), [(3, False), (6, False), (7, True), (0, False)])
def test_workers_move_the_status_when_a_fifth_of_the_slots_changed(busy: int, moved: bool) -> None:
    before = {"busy": 3.0, "idle": 12.0, "total": 15.0, "queue": 0.0}
    now = {"busy": float(busy), "idle": 15.0 - busy, "total": 15.0, "queue": 0.0}
    assert workers_moved(before, now) is moved


def test_a_transition_time_moves_only_when_the_status_flips() -> None:
    old = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}]}
    same = conditions([Condition("Ready", ConditionStatus.TRUE, "Other", "words")], old, 2)
    assert same[0]["lastTransitionTime"] == "2020-01-01T00:00:00Z"
    assert same[0]["observedGeneration"] == 2
    flipped = conditions([Condition("Ready", ConditionStatus.FALSE, "Other", "words")], old, 2)
    assert flipped[0]["lastTransitionTime"] > "2020-01-01T00:00:00Z"


def test_a_decision_keeps_its_time_while_its_reason_stays() -> None:
    old = status()
    assert decision(Decision("Steady", "other words"), old)["time"] == "2026-01-01T00:00:00Z"
    assert decision(Decision("QueueFormed", "other words"), old)["time"] > "2026-01-01T00:00:00Z"
