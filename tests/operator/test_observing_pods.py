"""From Kubernetes' objects to the planner's snapshot: phases, troubles, first sightings, unseen pods."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mpm_operator.core.directives import normalise
from mpm_operator.core.memory import fresh
from mpm_operator.core.snapshot import PodPhase, Snapshot
from mpm_operator.core.spec import App, WebServerSpec
from mpm_operator.kube.caches import Caches
from mpm_operator.kube.observe import Observer
from mpm_operator.kube.resources import (
    AUTOSCALERS,
    DELETION_COST,
    DEPLOYMENTS,
    GENERATION_ANNOTATION,
    PODS,
    SLICES,
    WEBSERVER_LABEL,
    Key,
    Object,
)
from mpm_operator.kube.trouble import last_words

SHOP = Key("demo", "shop")
OURS = {"kind": "ReplicaSet", "name": "shop-5d9", "controller": True}
WALL = datetime(2026, 1, 1, 12, 0, tzinfo=UTC).timestamp()
READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T11:59:50Z"}


LOST = {
    "exitCode": 3,
    "reason": "Error",
    "message": """mpm-worker: the application shop:app cannot be started: Traceback (most recent call last):
  File "/srv/app/shop.py", line 1, in <module>
    import nothere
ModuleNotFoundError: No module named 'nothere'
ModuleNotFoundError: No module named 'nothere'
mpm-worker: server 7 ended with exit code 4
mpm-worker: no server could be started (the last one ended with exit code 4)
""",
}
"""What a container leaves that could not import its application."""


class World:
    """Caches, and clocks that are moved by hand; monotonic 1000 is 12:00 on the wall."""

    def __init__(self) -> None:
        self.caches = Caches()
        self.now = 1000.0
        self.wall = WALL
        self.observer = Observer(self.caches, lambda uid: None, lambda: self.now, lambda: self.wall)
        self._version = 0

    def meta(self, name: str, **more: Any) -> dict[str, Any]:
        self._version += 1
        return {
            "name": name,
            "namespace": "demo",
            "uid": f"uid-{name}",
            "resourceVersion": str(self._version),
            "labels": {WEBSERVER_LABEL: "shop"},
            "creationTimestamp": "2026-01-01T11:59:40Z",
            "ownerReferences": [OURS],
        } | more

    def pod(self, name: str = "shop-1", *, conditions: list[Any] | None = None, **more: Any) -> None:
        container = {"name": "worker", "restartCount": 0, "started": True} | more.pop("container", {})
        status = {
            "phase": "Running",
            "conditions": conditions if conditions is not None else [READY],
            "containerStatuses": [container],
        }
        meta = self.meta(name, **more)
        meta.setdefault("annotations", {}).setdefault(GENERATION_ANNOTATION, "g1")
        self.caches[PODS].put(
            {"metadata": meta, "spec": {"terminationGracePeriodSeconds": 75}, "status": status}
        )

    def deployment(self, replicas: int = 1, **status: Any) -> None:
        self.caches[DEPLOYMENTS].put(
            {
                "metadata": self.meta("shop"),
                "spec": {
                    "replicas": replicas,
                    "strategy": {"rollingUpdate": {"maxSurge": 3}},
                    "template": {
                        "metadata": {"annotations": {GENERATION_ANNOTATION: "g1"}},
                        "spec": {"terminationGracePeriodSeconds": 75},
                    },
                },
                "status": status,
            }
        )

    def snapshot(self, server: Object | None = None) -> Snapshot:
        spec = WebServerSpec(app=App(module="a:b"))
        effective, _ = normalise(spec)
        deployment = self.caches[DEPLOYMENTS].get("demo", "shop")
        return self.observer.snapshot(SHOP, server or {}, spec, effective, fresh(0.0), deployment)


@pytest.fixture
def world() -> World:
    return World()


def test_a_ready_pod_with_its_times_in_the_planners_clock(world: World) -> None:
    world.deployment()
    world.pod()
    (pod,) = world.snapshot().pods
    assert (pod.phase, pod.created_at, pod.ready_at) == (PodPhase.READY, 980.0, 990.0)
    assert pod.current


def test_a_jump_of_the_wall_clock_moves_no_pod(world: World) -> None:
    world.deployment()
    world.pod()
    world.snapshot()
    world.wall += 3600
    world.now += 1
    (pod,) = world.snapshot().pods
    assert (pod.created_at, pod.ready_at) == (980.0, 990.0)


def test_a_pod_that_was_ready_is_unready_and_one_that_never_was_starts(world: World) -> None:
    world.deployment(2)
    world.pod("old")
    world.snapshot()
    unready = [READY | {"status": "False"}]
    world.pod("old", conditions=unready)
    world.pod("new", conditions=unready)
    phases = {pod.name: pod.phase for pod in world.snapshot().pods}
    assert phases == {"old": PodPhase.UNREADY, "new": PodPhase.STARTING}


@pytest.mark.parametrize(
    ("container", "phase", "trouble"),
    [
        (
            {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}},
            PodPhase.FAILED,
            "ImagePullBackOff: no such image",
        ),
        (
            {
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
                "lastState": {"terminated": {"exitCode": 3, "message": "no child could start\n"}},
            },
            PodPhase.FAILED,
            "CrashLoopBackOff: exit code 3: no child could start",
        ),
        (
            {
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            },
            PodPhase.FAILED,
            "CrashLoopBackOff: exit code 137 (OOMKilled)",
        ),
        (
            {"state": {"running": {}}, "restartCount": 2, "lastState": {"terminated": LOST}},
            PodPhase.STARTING,
            "ends while it starts: exit code 3: ModuleNotFoundError: No module named 'nothere'",
        ),
        (
            {"state": {"running": {}}, "restartCount": 1, "lastState": {"terminated": LOST}},
            PodPhase.STARTING,
            "",
        ),
        ({"state": {"waiting": {"reason": "ContainerCreating"}}}, PodPhase.STARTING, ""),
        ({"state": {"waiting": {"reason": "PodInitializing"}}}, PodPhase.STARTING, ""),
    ],
)
def test_what_keeps_a_container_from_starting_is_said(
    world: World, container: dict[str, Any], phase: PodPhase, trouble: str
) -> None:
    world.deployment()
    world.pod(conditions=[], container=container | {"started": False})
    (pod,) = world.snapshot().pods
    assert (pod.phase, pod.trouble) == (phase, trouble)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("", ""),
        ("\n  \n", ""),
        ("mpm-worker: error: --threads: 0 is too few\n", "mpm-worker: error: --threads: 0 is too few"),
        (
            "KeyError: 'DATABASE_URL'\n    indented\nmpm-worker: no server could be started\n",
            "KeyError: 'DATABASE_URL'",
        ),
    ],
)
def test_the_line_that_tells_why_is_taken_from_the_last_ones(message: str, words: str) -> None:
    assert last_words(message) == words


def test_a_pod_without_a_node_says_why(world: World) -> None:
    world.deployment()
    world.pod(
        conditions=[
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
        ]
    )
    (pod,) = world.snapshot().pods
    assert (pod.phase, pod.trouble) == (PodPhase.STARTING, "Unschedulable: 0/1 nodes")


def test_a_deleted_pod_terminates_and_an_evicted_one_is_no_pod(world: World) -> None:
    world.deployment(0)
    world.pod("leaving", deletionTimestamp="2026-01-01T12:00:10Z")
    body: Object = {"metadata": world.meta("evicted"), "spec": {}, "status": {"phase": "Failed"}}
    world.caches[PODS].put(body)
    assert [(pod.name, pod.phase) for pod in world.snapshot().pods] == [("leaving", PodPhase.TERMINATING)]


def test_pods_that_were_asked_for_and_not_seen_count_as_starting(world: World) -> None:
    world.deployment(4)
    world.pod("shop-1")
    world.pod("leaving", deletionTimestamp="2026-01-01T12:00:10Z")
    asked = [pod for pod in world.snapshot().pods if "asked" in pod.name]
    assert [(pod.phase, pod.created_at) for pod in asked] == [(PodPhase.STARTING, 1000.0)] * 3
    world.now += 5
    assert world.snapshot().pods[-1].created_at == 1000.0
    world.pod("shop-2")
    world.pod("shop-3")
    world.pod("shop-4")
    assert not [pod for pod in world.snapshot().pods if "asked" in pod.name]


def test_pods_that_the_cluster_refuses_have_failed_and_say_why(world: World) -> None:
    refusal = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "exceeded quota",
    }
    world.deployment(2, conditions=[refusal])
    pods = world.snapshot().pods
    assert [(pod.phase, pod.trouble) for pod in pods] == [
        (PodPhase.FAILED, "FailedCreate: exceeded quota")
    ] * 2


def test_a_pod_is_in_the_endpoints_while_a_slice_says_ready(world: World) -> None:
    world.deployment(2)
    world.pod("a")
    world.pod("b")
    endpoints = [
        {"targetRef": {"uid": "uid-a"}, "conditions": {"ready": True}, "zone": "z1"},
        {"targetRef": {"uid": "uid-b"}, "conditions": {"ready": False}, "zone": "z2"},
    ]
    world.caches[SLICES].put({"metadata": world.meta("shop-x"), "endpoints": endpoints})
    seen = {pod.name: (pod.in_endpoints, pod.zone) for pod in world.snapshot().pods}
    assert seen == {"a": (True, "z1"), "b": (False, "z2")}


def test_a_deletion_cost_counts_from_when_the_watch_showed_it(world: World) -> None:
    world.deployment()
    world.pod()
    assert world.snapshot().pods[0].deletion_cost_at is None
    world.now += 7
    world.pod(annotations={DELETION_COST: "-1000", GENERATION_ANNOTATION: "g1"})
    world.snapshot()
    world.now += 3
    pod = world.snapshot().pods[0]
    assert (pod.deletion_cost, pod.deletion_cost_at) == (-1000, 1007.0)
    world.pod(annotations={GENERATION_ANNOTATION: "g1"})
    assert world.snapshot().pods[0].deletion_cost_at is None


def test_a_pod_of_another_template_makes_a_rollout(world: World) -> None:
    world.deployment(2)
    world.pod("new")
    assert not world.snapshot().rolling
    world.pod("old", annotations={GENERATION_ANNOTATION: "g0"})
    found = world.snapshot()
    assert found.rolling
    assert found.surge == 3
    assert {pod.name: pod.current for pod in found.pods} == {"new": True, "old": False}


@pytest.mark.parametrize(
    ("kind", "owners", "name"),
    [
        ("Deployment", [], "HorizontalPodAutoscaler/theirs"),
        ("Deployment", [{"kind": "ScaledObject", "name": "keda"}], "ScaledObject/keda"),
        ("WebServer", [], ""),
    ],
)
def test_an_autoscaler_of_the_deployment_is_foreign_and_one_of_the_webserver_is_not(
    world: World, kind: str, owners: list[Any], name: str
) -> None:
    world.deployment()
    meta = world.meta("theirs", ownerReferences=owners)
    target = {"kind": kind, "name": "shop"}
    world.caches[AUTOSCALERS].put({"metadata": meta, "spec": {"scaleTargetRef": target}})
    assert world.snapshot().foreign_scaler == name


def test_what_was_desired_before_comes_from_the_status(world: World) -> None:
    found = world.snapshot({"status": {"desiredReplicas": 7}})
    assert (found.replicas, found.desired_before) == (None, 7)


@pytest.mark.parametrize(
    "owners",
    [
        [],
        [OURS | {"controller": False}],
        [OURS | {"kind": "StatefulSet"}],
        [OURS | {"name": "shop-two-5d9"}],
        [OURS | {"name": "other-5d9"}],
    ],
)
def test_a_pod_that_only_wears_our_label_is_not_ours(world: World, owners: list[Any]) -> None:
    world.deployment()
    world.pod("ours")
    world.pod("theirs", ownerReferences=owners)
    assert [pod.name for pod in world.snapshot().pods] == ["ours"]
