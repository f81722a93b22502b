"""Every field of the spec takes effect when it is changed; only those that need it roll pods."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from testcluster import faults

from mpm_operator.manifests.pod import resources

if TYPE_CHECKING:
    from .conftest import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

LIVE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"mpm": {"maxConnectionsPerChild": 5000}}, {"maxConnectionsPerChild": 5000}),
    ({"mpm": {"asyncRequestWorkerFactor": 3}}, {"asyncRequestWorkerFactor": 3}),
    ({"mpm": {"gracefulShutdownTimeoutSeconds": 30}}, {"gracefulShutdownTimeoutSeconds": 30}),
    ({"mpm": {"threadsPerChild": 4}}, {"threadsPerChild": 4}),
    ({"mpm": {"threadsPerChild": 5}}, {"threadsPerChild": 5}),
    ({"mpm": {"requestTimeoutSeconds": 90}}, {"requestTimeoutSeconds": 90}),
    ({"mpm": {"maxRssBytes": 1 << 29}}, {"maxRssBytes": 1 << 29}),
    ({"mpm": {"maxRssBytes": None}}, {"maxRssBytes": -1}),
    ({"http": {"timeoutSeconds": 45}}, {"timeoutSeconds": 45}),
    ({"http": {"keepAlive": False}}, {"keepAlive": False}),
    ({"http": {"keepAliveTimeoutSeconds": 7}}, {"keepAliveTimeoutSeconds": 7}),
    ({"http": {"maxKeepAliveRequests": 50}}, {"maxKeepAliveRequests": 50}),
    ({"http": {"limitRequestBodyBytes": 4096}}, {"limitRequestBodyBytes": 4096}),
]
"""Each change by itself, and what the scoreboard shows of it."""
ROLLING: list[dict[str, Any]] = [
    {"mpm": {"listenBacklog": 100}},
    {"mpm": {"threadLimit": 8}},
    {"mpm": {"type": "Worker"}},
    {"mpm": {"processesPerPod": 3}},
    {"mpm": {"processesPerPod": 2}},
    {"extendedStatus": True},
    {"podTemplate": {"metadata": {"annotations": {"team": "shop"}}}},
]


def uids(stage: Stage) -> set[str]:
    return {pod["metadata"]["uid"] for pod in stage.pods()}


def test_each_live_directive_reaches_the_pods_without_a_restart(shop: Stage) -> None:
    before = uids(shop)
    failures = shop.load(1, 60, "--keep-alive")
    for change, shown in LIVE:
        shop.patch({"spec": change})

        def arrived(shown: dict[str, Any] = shown) -> bool:
            (board,) = shop.boards()
            return bool(shown.items() <= board["settings"].items())

        shop.until(arrived, 60, f"{shown} on the scoreboard")
    assert uids(shop) == before
    (board,) = shop.boards()
    assert board["generation"] == 0, "nor did a child restart"
    config = shop.need("configmap", "shop-mpm")["data"]["mpm.toml"]
    assert "keep-alive-timeout = 7" in config, "new pods boot with it"
    shop.loads[0].terminate()
    assert not failures()
    shop.patch({"spec": {"mpm": {"threadsPerChild": 3}}})
    shop.until(lambda: shop.status()["threadsPerChild"] == 3, 60, "the status, when the scoreboards show it")
    shop.until(lambda: shop.condition("Progressing") == ("False", "Settled"), 60, "the end of the change")


def test_a_setting_that_a_pod_does_not_take_yet_is_not_told_as_done(shop: Stage) -> None:
    if shop.cluster.site is None:
        pytest.skip("needs a cluster whose processes can be stopped")
    (pod,) = shop.pods()
    inside = faults.in_containers(shop.cluster.site, "MPM_POD_NAME", pod["metadata"]["name"])
    pid = faults.first_of(inside)
    os.kill(pid, signal.SIGSTOP)
    try:
        shop.patch({"spec": {"mpm": {"threadsPerChild": 4}}})
        shop.until(lambda: shop.status()["effective"]["threadsPerChild"] == 4, 60, "the spec to be read")
        assert shop.status()["threadsPerChild"] == 5, "what the last scoreboard showed"
    finally:
        os.kill(pid, signal.SIGCONT)
    shop.until(lambda: shop.status()["threadsPerChild"] == 4, 60, "the pod to take it")


def test_what_a_pod_fixes_when_it_starts_rolls_the_pods(shop: Stage) -> None:
    failures = shop.load(2, 120)
    for change in ROLLING:
        before = uids(shop)
        shop.patch({"spec": change})
        shop.until(lambda before=before: not before & uids(shop), 60, f"new pods after {change}")  # type: ignore[misc]
        shop.until(lambda: shop.condition("Ready")[0] == "True", 60, "Ready")
    shown = {
        (board["mpm"], board["servers"], board["threadLimit"], board["backlog"]["limit"])
        for board in shop.boards()
    }
    assert shown == {("worker", 2, 8, 100)}
    limits = {pod["spec"]["containers"][0]["resources"]["limits"]["memory"] for pod in shop.pods()}
    assert limits == {resources(2)["limits"]["memory"]}, "made for so many servers"
    shop.loads[0].terminate()
    assert not failures()


def test_new_code_in_the_configmap_rolls_the_pods(shop: Stage) -> None:
    before = uids(shop)
    code = shop.need("configmap", "shop-code")["data"]["sleeper.py"].replace("ok", "no")
    patch = json.dumps({"data": {"sleeper.py": code}})
    shop.kubectl("patch", "configmap", "shop-code", "--type=merge", f"--patch={patch}")
    shop.until(lambda: not before & uids(shop), 60, "new pods")
    shop.ready(1)
    address = shop.need("service")["spec"]["clusterIP"]
    shop.until(lambda: shop.fetch(f"http://{address}/") == "no\n", 60, "the new code")


def test_a_rollout_that_never_gets_ready_keeps_the_old_pods_and_says_why(shop: Stage) -> None:
    before = uids(shop)
    failures = shop.load(2, 25)
    shop.patch({"spec": {"app": {"module": "sleeper:nothing"}}})
    shop.until(lambda: shop.condition("Progressing") == ("False", "PodsFailing"), 60, "PodsFailing")
    assert "CrashLoopBackOff" in shop.message("Progressing")
    assert before <= uids(shop)
    assert not failures()
    shop.patch({"spec": {"app": {"module": "sleeper:application"}}})
    shop.ready(1)
    shop.until(lambda: shop.condition("Ready")[0] == "True", 60, "Ready")


def test_a_rollout_past_its_deadline_is_taken_back_until_the_spec_changes(stage: Stage) -> None:
    patient = stage.start_operator()
    # The only pod will be deleted: it accepts for as long as its successor may take on a busy machine.
    stage.server(scaling={"drainDelaySeconds": 40})
    stage.ready(1)
    patient.end()
    hasty = stage.start_operator("--progress-deadline-seconds=15")
    stage.until(lambda: stage.need("deployment")["spec"]["progressDeadlineSeconds"] == 15, 60, "the deadline")
    good = stage.need("deployment")["spec"]["template"]
    before = uids(stage)
    failures = stage.load(2, 150)
    stage.patch({"spec": {"app": {"module": "sleeper:nothing"}, "mpm": {"type": "Worker"}}})
    stage.until(lambda: stage.condition("Progressing") == ("False", "RolledBack"), 60, "the good template")
    assert "CrashLoopBackOff" in stage.message("Progressing")
    assert stage.condition("Available")[0] == "True"
    stage.until(lambda: uids(stage) == before, 60, "the pods that were there before, and no others")
    assert stage.need("deployment")["spec"]["template"] == good
    assert 'app = "sleeper:application"' in stage.need("configmap", "shop-mpm")["data"]["mpm.toml"]
    assert [event["type"] for event in stage.all("events") if event["reason"] == "RolledBack"] == ["Warning"]
    # It stays so for the next operator, and pods of the good template can be made.
    hasty.end()
    stage.start_operator()
    stage.kubectl("delete", "pod", "--selector=mpm-operator.io/webserver=shop", "--wait=false")
    stage.until(lambda: uids(stage) and not before & uids(stage), 60, "another pod")
    stage.ready(1)
    stage.until(lambda: stage.condition("Progressing") == ("False", "RolledBack"), 60, "RolledBack")
    stage.loads[0].terminate()
    assert not failures()
    stage.patch({"spec": {"app": {"module": "sleeper:application"}}})
    stage.until(lambda: {board["mpm"] for board in stage.boards()} == {"worker"}, 60, "the new template")
    stage.until(lambda: stage.condition("Ready")[0] == "True", 60, "Ready")


def test_the_port_and_the_type_of_the_service_follow(shop: Stage) -> None:
    shop.patch({"spec": {"service": {"port": 8000, "type": "NodePort"}}})

    def followed() -> bool:
        spec = shop.need("service")["spec"]
        return bool(spec["type"] == "NodePort" and spec["ports"][0]["port"] == 8000)

    shop.until(followed, 5, "the Service")


def test_pods_set_by_hand_stay_until_the_field_is_removed(shop: Stage) -> None:
    shop.kubectl("scale", "webserver", "shop", "--replicas=3")
    shop.ready(3)
    shop.until(lambda: shop.condition("ScalingActive") == ("False", "ManualReplicas"), 60, "the condition")
    assert "kubectl patch" in shop.message("ScalingActive")
    shop.kubectl("patch", "webserver", "shop", "--type=json", '-p=[{"op":"remove","path":"/spec/replicas"}]')
    shop.until(lambda: shop.condition("ScalingActive")[0] == "True", 60, "the condition")
    shop.ready(2, seconds=60)


def test_another_scaler_of_the_deployment_is_left_alone_and_named(shop: Stage) -> None:
    other = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "theirs"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"},
            "minReplicas": 1,
            "maxReplicas": 5,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
                }
            ],
        },
    }
    shop.cluster.apply(other, namespace=shop.namespace)
    shop.until(lambda: shop.condition("ScalingActive") == ("False", "ScalingConflict"), 60, "ScalingConflict")
    assert "HorizontalPodAutoscaler/theirs" in shop.message("ScalingActive")
    shop.kubectl("scale", "deployment", "shop", "--replicas=2")
    shop.until(lambda: len(shop.pods()) == 2, 60, "the other's two pods")
    shop.patch({"spec": {"scaling": {"minReplicas": 3}}})
    shop.until(lambda: shop.status()["effective"]["minReplicas"] == 3, 60, "the spec to be read")
    assert shop.need("deployment")["spec"]["replicas"] == 2, "its replicas are not ours to write"
    shop.kubectl("delete", "hpa", "theirs")
    shop.ready(3)

    def overwritten() -> list[str]:
        return [event["message"] for event in shop.all("events") if event["reason"] == "ReplicasOverwritten"]

    assert not overwritten(), "a conflict is told as such"
    shop.kubectl("scale", "deployment", "shop", "--replicas=5")
    shop.until(overwritten, 60, "the event")
    assert "from 3 to 5" in overwritten()[0]
    shop.ready(3)


def test_corrections_are_shown_in_the_condition_and_as_an_event(shop: Stage) -> None:
    shop.patch({"spec": {"mpm": {"minSpareThreads": 50, "maxSpareThreads": 10}}})
    shop.until(lambda: shop.condition("Accepted") == ("True", "Corrected"), 60, "the condition")
    assert "spec.mpm.maxSpareThreads" in shop.message("Accepted")
    shop.until(lambda: any(event["reason"] == "Corrected" for event in shop.all("events")), 60, "the event")
