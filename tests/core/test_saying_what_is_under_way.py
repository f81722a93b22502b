"""The condition Progressing, and its events, tell what has not arrived yet and what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from mpm_operator.core.plan import Condition, ConditionStatus, Plan
from mpm_operator.core.planner import plan
from mpm_operator.core.snapshot import Pod, PodPhase, PodState

if TYPE_CHECKING:
    from collections.abc import Callable

BAND = {"minSpareThreads": 5, "maxSpareThreads": 30, "threadsPerChild": 10, "threadLimit": 20}


def condition(decided: Plan, kind: str) -> Condition:
    return next(one for one in decided.conditions if one.type == kind)


def test_a_changed_setting_is_under_way_until_the_scoreboards_show_it(
    world: Callable[..., Any], effective: Callable[..., Any]
) -> None:
    w = world(BAND, startup=1.0)
    w.load = 10
    w.run(15)
    assert condition(w.last, "Progressing").reason == "Settled"
    w.lost = 1.0
    w.effective = effective(BAND | {"threadsPerChild": 12})
    for _ in range(5):
        assert condition(w.step(), "Progressing").reason == "SettingsChanging"
    w.lost = 0.0
    w.run(3)
    assert condition(w.last, "Progressing").reason == "Settled"


def test_more_threads_than_a_pod_can_ever_have_are_not_waited_for(
    world: Callable[..., Any], effective: Callable[..., Any]
) -> None:
    w = world(BAND, startup=1.0)
    w.load = 10
    w.run(15)
    for pod in w.pods:
        pod.report = lambda now, of=pod: replace(type(of).report(of, now), thread_limit=20)
    w.effective = effective(BAND | {"threadsPerChild": 30, "threadLimit": 40})
    w.run(5)
    assert {pod.threads for pod in w.pods} == {20}
    assert condition(w.last, "Progressing").reason == "Settled"


def test_a_victim_that_is_not_done_at_its_deadline_is_told_of_once(world: Callable[..., Any]) -> None:
    mpm = BAND | {"gracefulShutdownTimeoutSeconds": 20}
    w = world(mpm, {"scaleDownStabilizationSeconds": 0}, startup=1.0)
    w.load = 60
    w.run(20)
    w.load = 0
    while not w.last.quiesce:
        w.step()
    stuck = next(pod for pod in w.pods if pod.name in w.last.quiesce)
    stuck.report = lambda now: replace(
        type(stuck).report(stuck, now), busy=1, state=PodState.QUIESCING, accesses=7
    )
    reasons = []
    notes = []
    for _ in range(60):
        decided = w.step()
        reasons.append(condition(decided, "Progressing").reason)
        notes += [note for note in decided.notes if note.reason == "DrainDeadlineExceeded"]
    assert "DrainDeadlineExceeded" in reasons
    assert reasons.index("PodsDraining") < reasons.index("DrainDeadlineExceeded")
    assert [note.severity for note in notes] == ["Warning"]
    assert "20 s" in notes[0].message
    assert "gracefulShutdownTimeoutSeconds" in notes[0].message
    assert stuck not in w.living, "the deadline decides"


def test_a_template_that_was_taken_back_is_no_progress_and_not_ready(world: Callable[..., Any]) -> None:
    w = world(BAND, startup=1.0)
    w.load = 10
    w.run(10)
    w.extra["rolled_back"] = "the template of now cannot start: ImagePullBackOff"
    decided = w.step()
    for kind in ("Progressing", "Ready"):
        found = condition(decided, kind)
        assert (found.status, found.reason) == (ConditionStatus.FALSE, "RolledBack")
        assert "ImagePullBackOff" in found.message
    assert condition(decided, "Available").status is ConditionStatus.TRUE, "serving goes on"
    assert [note.reason for note in decided.notes] == ["RolledBack"]
    w.extra["rolled_back"] = ""
    assert condition(w.step(), "Ready").reason == "Serving", "over when it is"


def test_a_pod_that_somebody_deletes_is_no_failure_before_the_watch_shows_it(
    world: Callable[..., Any],
) -> None:
    w = world(BAND | {"startServers": 1}, startup=1.0)
    w.load = 2
    w.run(10)
    (pod,) = w.living
    pod.state = PodState.STOPPING
    decided = w.step()
    assert w.seen.pods[0].phase is PodPhase.READY, "the scoreboard said it first"
    assert "PodsFailing" not in {one.reason for one in decided.conditions} | {decided.decision.reason}
    assert [note for note in decided.notes if note.severity == "Warning"] == []
    assert decided.desired == 1, "its ReplicaSet makes another"


def test_what_fails_is_told_as_it_is_now(world: Callable[..., Any]) -> None:
    w = world(BAND, startup=1.0)
    w.load = 2
    w.run(10)
    for trouble in ("ImagePullBackOff: no such image", "Unschedulable: 0/1 nodes"):
        seen = replace(w.snapshot(), memory=w.memory)
        pods = (*seen.pods, Pod("new", PodPhase.FAILED, w.now, trouble=trouble))
        decided = plan(replace(seen, pods=pods), w.now)
        w.memory = decided.memory
        assert condition(decided, "Progressing").message == trouble


@pytest.mark.parametrize(("rolling", "ready"), [(True, ConditionStatus.FALSE), (False, ConditionStatus.TRUE)])
def test_a_pod_that_fails_beside_enough_others_is_in_the_way_of_a_rollout_alone(
    world: Callable[..., Any], rolling: bool, ready: ConditionStatus
) -> None:
    w = world(BAND, startup=1.0)
    w.load = 2
    w.run(10)
    pods = (*w.snapshot().pods, Pod("new", PodPhase.STARTING, w.now, trouble="Unschedulable: 0/1 nodes"))
    decided = plan(replace(w.snapshot(), pods=pods, rolling=rolling), w.now)
    assert condition(decided, "Available").status is ConditionStatus.TRUE
    assert condition(decided, "Progressing").reason == "PodsFailing"
    assert condition(decided, "Ready").status is ready
    assert [note.message for note in decided.notes] == ["Unschedulable: 0/1 nodes"]
