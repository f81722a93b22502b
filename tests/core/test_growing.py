"""When pods come: at creation, when slots run short, what holds growth, and where more would not help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from mpm_operator.core.memory import fresh
from mpm_operator.core.plan import ConditionStatus
from mpm_operator.core.planner import plan
from mpm_operator.core.snapshot import Pod, PodPhase, Snapshot
from mpm_operator.core.staffing import pods_for

if TYPE_CHECKING:
    from collections.abc import Callable

BAND = {"minSpareThreads": 10, "maxSpareThreads": 60, "threadsPerChild": 10, "threadLimit": 10}


@pytest.mark.parametrize(
    ("before", "manual", "least", "replicas"),
    [
        (None, None, 1, 4),
        (None, None, 6, 6),
        (9, None, 1, 9),
        (0, None, 2, 2),
        (99, None, 1, 40),
        (9, 5, 1, 5),
        (None, 0, 1, 0),
    ],
)
def test_a_webserver_without_a_deployment_starts_with_what_it_had_or_with_start_servers(
    effective: Callable[..., Any], before: int | None, manual: int | None, least: int, replicas: int
) -> None:
    directives = effective({"startServers": 4, "threadsPerChild": 10}, minReplicas=least)
    snapshot = Snapshot(directives, (), None, fresh(0.0), desired_before=before, manual_replicas=manual)
    decided = plan(snapshot, 0.0)
    assert (decided.replicas, decided.desired) == (replicas, replicas)


@pytest.mark.parametrize("before", [8, 3])
def test_pods_that_outlive_their_deployment_are_kept_however_little_room_there_is(
    world: Callable[..., Any], before: int
) -> None:
    w = world({"threadsPerChild": 10, "threadLimit": 20, "maxRequestWorkers": 160})
    w.extra["manual_replicas"] = 8
    w.load = 160
    w.run(20)
    assert (len(w.accepting), w.most_slots) == (8, 160)
    snapshot = replace(w.snapshot(), replicas=None, memory=fresh(w.now))
    snapshot = replace(snapshot, manual_replicas=None, desired_before=before)
    assert plan(snapshot, w.now).replicas == 8


def test_start_servers_acts_at_creation_only(world: Callable[..., Any]) -> None:
    w = world({**BAND, "startServers": 2}, {"scaleDownStabilizationSeconds": 0}, startup=0.0)
    w.load = 5
    w.run(20)
    w.effective = replace(w.effective, start_servers=8)
    w.run(20)
    assert w.replicas == 2


def test_pods_of_a_deleted_deployment_still_count_until_they_are_gone(world: Callable[..., Any]) -> None:
    w = world(
        {"threadsPerChild": 10, "threadLimit": 10, "maxRequestWorkers": 40, "startServers": 4}, startup=0.0
    )
    w.run(5)
    for pod in w.pods:
        pod.phase, pod.ends_at = PodPhase.TERMINATING, w.now + 3.0
    w.replicas, w.memory = None, fresh(w.now)
    for _ in range(12):
        w.step()
        assert w.most_slots <= 40
    assert w.replicas == 4


def test_a_full_pool_asks_for_pods_in_the_same_plan(world: Callable[..., Any]) -> None:
    w = world(BAND, startup=2.0)
    w.load = 5
    w.run(20)
    before = w.replicas
    w.load = 60
    assert w.step(0.1).replicas > before


def test_the_computed_law_meets_a_step_with_little_to_spare(world: Callable[..., Any]) -> None:
    w = world({"threadsPerChild": 25, "maxRequestWorkers": 4000}, startup=8.0, service=1.0)
    w.load = 60
    w.run(60)
    w.load = 300
    w.run(60)
    # This world deals its requests out evenly, and the planner sees it: the pods are one queue.
    needed = pods_for(300, 25, 5, pooled=True)
    assert needed <= len(w.accepting) <= 1.3 * needed
    assert max(p.desired for _, p in w.plans) <= 1.3 * needed


def test_clients_in_a_closed_loop_get_their_slots(world: Callable[..., Any]) -> None:
    """40 clients that wait for their answers look like 100 requests/s to one pod of 5 slots."""
    w = world({"threadsPerChild": 5, "threadLimit": 5, "startServers": 1}, startup=2.0, service=0.05)
    w.run(10)
    w.load = 40
    w.run(15)
    assert sum(pod.total for pod in w.accepting) >= 40


def test_victims_serve_again_before_pods_are_made(world: Callable[..., Any]) -> None:
    w = world({**BAND, "startServers": 12}, {"scaleDownStabilizationSeconds": 0}, startup=1.0)
    w.load = 60
    w.run(6)
    w.load = 0
    while not w.last.quiesce:
        w.step()
    victims, before = w.last.quiesce, w.replicas
    w.load = 110
    decided = w.step()
    assert decided.resume == victims
    assert decided.quiesce == ()
    assert w.replicas == before


def test_pods_that_cannot_start_are_not_multiplied(world: Callable[..., Any]) -> None:
    w = world({**BAND, "startServers": 2}, startup=1e9)
    w.run(2)
    for pod in w.pods:
        pod.phase = PodPhase.FAILED
    w.load = 100
    w.run(30)
    assert w.replicas == 2
    ready = {c.type: c for c in w.last.conditions}["Ready"]
    assert (ready.status, ready.reason) == (ConditionStatus.FALSE, "PodsFailing")


def test_a_pod_past_its_start_deadline_is_replaced_by_another(world: Callable[..., Any]) -> None:
    w = world({**BAND, "startServers": 3}, startup=1.0)
    w.load = 15
    w.run(10)
    w.startup = 1e9
    w.load = 22
    w.run(590)
    assert w.replicas == 4
    w.startup = 1.0
    w.run(30)
    assert len(w.accepting) == 4


def test_at_max_request_workers_the_note_comes_once_and_names_the_number(world: Callable[..., Any]) -> None:
    w = world({**BAND, "maxRequestWorkers": 50}, startup=1.0)
    w.load = 80
    w.run(30)
    limited = {c.type: c for c in w.last.conditions}["ScalingLimited"]
    assert (limited.status, limited.reason) == (ConditionStatus.TRUE, "MaxRequestWorkersReached")
    told = [n for _, p in w.plans for n in p.notes if n.reason == "MaxRequestWorkersReached"]
    assert len(told) == 1
    assert "raise maxRequestWorkers to 90" in told[0].message
    assert w.replicas == 5
    w.load = 20
    w.run(60)
    w.load = 80
    w.run(5)
    told = [n for _, p in w.plans for n in p.notes if n.reason == "MaxRequestWorkersReached"]
    assert len(told) == 2


def test_manual_replicas_are_kept_and_say_how_to_leave_them(world: Callable[..., Any]) -> None:
    w = world(BAND, startup=1.0, extra={"manual_replicas": 3, "namespace": "demo", "name": "shop"})
    w.load = 300
    w.run(30)
    assert w.replicas == 3
    active = {c.type: c for c in w.last.conditions}["ScalingActive"]
    assert (active.status, active.reason) == (ConditionStatus.FALSE, "ManualReplicas")
    assert "kubectl patch webserver shop -n demo " in active.message
    assert '"op":"remove","path":"/spec/replicas"' in active.message
    w.extra |= {"namespace": "", "name": ""}
    w.step()
    active = {c.type: c for c in w.last.conditions}["ScalingActive"]
    assert "kubectl" not in active.message, "there is none on one machine"
    w.extra["manual_replicas"] = 1
    w.load = 0
    w.run(30)
    assert w.replicas == 1
    assert w.cut == 0


@pytest.mark.parametrize("extra", [{"paused": True}, {"foreign_scaler": "HorizontalPodAutoscaler/shop"}])
def test_nothing_writes_replicas_while_paused_or_in_conflict(
    world: Callable[..., Any], extra: dict[str, Any]
) -> None:
    w = world(BAND, startup=1.0)
    w.load = 10
    w.run(20)
    before = w.replicas
    w.extra.update(extra)
    w.load = 300
    w.run(20)
    assert w.last.replicas == before
    assert w.last.quiesce == w.last.victims == ()
    assert {c.type: c for c in w.last.conditions}["ScalingActive"].status is ConditionStatus.FALSE


def test_unseen_pods_count_as_starting(effective: Callable[..., Any]) -> None:
    directives = effective({**BAND, "startServers": 1})
    snapshot = Snapshot(directives, (Pod("shop-1", PodPhase.STARTING, 0.0),), 4, fresh(0.0))
    assert plan(snapshot, 1.0).replicas == 4
