"""What a WebServer owns is there, stays as it was made, and goes with it."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

CHILDREN = {
    "configmap": "shop-mpm",
    "secret": "shop-mpm-control",
    "service": "shop",
    "poddisruptionbudget": "shop",
    "deployment": "shop",
}
EDITS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "configmap": ({"data": {"mpm.toml": "threads = 99\n"}}, ("data", "mpm.toml")),
    "secret": ({"data": {"current": "AAAA"}}, ("data", "current")),
    "service": ({"spec": {"selector": {"mpm-operator.io/webserver": "other"}}}, ("spec", "selector")),
    "poddisruptionbudget": ({"spec": {"maxUnavailable": "90%"}}, ("spec", "maxUnavailable")),
    "deployment": ({"spec": {"progressDeadlineSeconds": 7}}, ("spec", "progressDeadlineSeconds")),
}


def at(body: dict[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = body
    for name in path:
        found = found[name]
    return found


def test_a_deleted_child_comes_back_equal(shop: Stage) -> None:
    seconds: list[float] = []
    for kind, name in CHILDREN.items():
        before = shop.need(kind, name)
        shop.kubectl("delete", kind, name, "--wait=false", "--cascade=background")

        def back(kind: str = kind, name: str = name, uid: str = before["metadata"]["uid"]) -> bool:
            found = shop.get(kind, name)
            return found is not None and found["metadata"]["uid"] != uid

        seconds.append(shop.until(back, 60, f"{kind} {name} to come back"))
        after = shop.need(kind, name)
        for part in ("data", "type"):
            assert after.get(part) == before.get(part)
    assert min(seconds) <= 2.0, "what the watch shows is acted on at once"
    shop.ready(1)


def test_an_edited_child_is_put_right(shop: Stage) -> None:
    seconds: list[float] = []
    for kind, (edit, path) in EDITS.items():
        before = at(shop.need(kind, CHILDREN[kind]), path)
        shop.kubectl("patch", kind, CHILDREN[kind], "--type=merge", f"--patch={json.dumps(edit)}")

        def right(kind: str = kind, path: tuple[str, ...] = path, before: Any = before) -> bool:
            return bool(at(shop.need(kind, CHILDREN[kind]), path) == before)

        seconds.append(shop.until(right, 60, f"{kind} to be put right"))
    assert min(seconds) <= 2.0, "what the watch shows is acted on at once"
    shop.kubectl("rollout", "pause", "deployment/shop")
    shop.until(lambda: not shop.need("deployment")["spec"].get("paused"), 60, "the Deployment to go on")


def test_a_deleted_deployment_comes_back_with_as_many_pods_as_before(stage: Stage) -> None:
    stage.start_operator()
    stage.server(mpm={"startServers": 1}, scaling={"minReplicas": 3})
    stage.ready(3)
    stage.until(lambda: stage.status().get("desiredReplicas") == 3, 60, "the status")
    stage.kubectl("delete", "deployment", "shop")
    stage.ready(3)


def test_a_deployment_deleted_without_its_pods_takes_them_all_back(stage: Stage) -> None:
    """For an instant of Kubernetes' default of one replica, it would end all the others."""
    stage.start_operator()
    stage.server(scaling={"minReplicas": 3})
    stage.ready(3)
    before = stage.need("deployment")["metadata"]["uid"]
    pods = {pod["metadata"]["uid"] for pod in stage.pods()}
    failures = stage.load(3, 60)
    stage.kubectl("delete", "deployment", "shop", "--cascade=orphan")
    stage.until(
        lambda: (
            (stage.get("deployment", "shop") or {"metadata": {"uid": before}})["metadata"]["uid"] != before
        ),
        60,
        "a new Deployment",
    )
    stage.ready(3)
    time.sleep(2)
    assert {pod["metadata"]["uid"] for pod in stage.all("pods")} == pods, "none ended, none was made"
    stage.patch({"spec": {"podTemplate": {"metadata": {"annotations": {"team": "shop"}}}}})
    stage.until(lambda: not pods & {pod["metadata"]["uid"] for pod in stage.pods()}, 60, "new pods")
    assert stage.need("deployment")["spec"]["replicas"] == 3
    owners = {
        entry["manager"]
        for entry in stage.managed("deployment")
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    }
    assert owners == {"mpm-operator-scale"}
    stage.loads[0].terminate()
    assert not failures()


def test_a_deleted_webserver_leaves_nothing(shop: Stage) -> None:
    shop.kubectl("delete", "webserver", "shop", "--wait=true")
    for kind, name in CHILDREN.items():
        shop.until(lambda kind=kind, name=name: shop.get(kind, name) is None, 60, f"{kind} to go")  # type: ignore[misc]
    assert shop.operators[0].process.poll() is None
    assert "Traceback" not in shop.operators[0].said()


def test_no_operator_is_needed_to_delete_a_namespace(shop: Stage) -> None:
    # Kubernetes' namespace controller looks again after half the pods' grace period, gone or not.
    shop.patch({"spec": {"mpm": {"gracefulShutdownTimeoutSeconds": 15}, "extendedStatus": True}})
    shop.until(
        lambda: [pod["spec"]["terminationGracePeriodSeconds"] for pod in shop.all("pods")] == [30],
        60,
        "a pod with a short grace period",
    )
    shop.operators[0].end(signal.SIGKILL)
    shop.cluster.kubectl("delete", "namespace", shop.namespace, "--wait=true", "--timeout=90s", timeout=120)


def test_a_stranger_of_our_name_is_not_touched(stage: Stage) -> None:
    stranger = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "shop"},
        "spec": {"ports": [{"port": 1234}], "selector": {"their": "own"}},
    }
    stage.cluster.apply(stranger, namespace=stage.namespace)
    before = stage.need("service")
    stage.start_operator()
    stage.server()
    stage.until(
        lambda: stage.condition("Accepted") == ("False", "NameConflict"), 60, "the condition NameConflict"
    )
    assert "Service `shop`" in stage.message("Accepted")
    assert stage.need("service")["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert stage.get("deployment", "shop") is None, "nothing at all is made beside a stranger"
    stage.kubectl("delete", "service", "shop")
    stage.ready(1)
    assert stage.condition("Accepted")[0] == "True"


def test_a_webserver_without_its_code_waits_for_it(stage: Stage) -> None:
    stage.start_operator()
    stage.server(app={"module": "sleeper:application", "configMapRef": {"name": "later"}})
    stage.until(lambda: stage.condition("Accepted") == ("False", "ConfigMapNotFound"), 60, "the condition")
    assert "`later`" in stage.message("Accepted")
    assert stage.get("deployment", "shop") is None
    code = stage.need("configmap", "shop-code")["data"]
    later = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}, "data": code}
    stage.cluster.apply(later, namespace=stage.namespace)
    stage.ready(1)


def test_a_template_that_the_server_refuses_changes_nothing(shop: Stage) -> None:
    before = shop.need("deployment")["metadata"]["generation"]
    template = {"spec": {"priority": "high"}}
    shop.patch(
        {"spec": {"podTemplate": template, "mpm": {"threadsPerChild": 2}, "http": {"timeoutSeconds": 9}}}
    )
    shop.until(
        lambda: shop.condition("Accepted") == ("False", "TemplateRefused"),
        60,
        "the condition TemplateRefused",
    )
    assert "priority" in shop.message("Accepted")
    assert shop.need("deployment")["metadata"]["generation"] == before
    shop.until(lambda: shop.boards()[0]["settings"]["timeoutSeconds"] == 9, 60, "what any pod can take")
    assert shop.boards()[0]["settings"]["threadsPerChild"] == 5, "the pods are those of the old template"
    worker = {"name": "worker", "resources": {"requests": {"cpu": "lots"}}}
    shop.patch({"spec": {"podTemplate": {"spec": {"priority": None, "containers": [worker]}}}})
    shop.until(lambda: "quantities" in shop.message("Accepted"), 60, "the word on a quantity that is none")
    assert shop.condition("Accepted") == ("False", "TemplateRefused")
    shop.patch({"spec": {"podTemplate": None}})
    shop.until(
        lambda: shop.boards()[0]["settings"]["threadsPerChild"] == 2, 60, "what goes with the template"
    )
    shop.until(lambda: shop.condition("Accepted")[0] == "True", 60, "the spec to be accepted again")


def test_a_paused_webserver_is_watched_and_left_alone(shop: Stage) -> None:
    shop.patch({"spec": {"paused": True}})
    shop.until(lambda: shop.condition("ScalingActive") == ("False", "Paused"), 60, "the condition Paused")
    shop.kubectl(
        "patch", "service", "shop", "--type=merge", '--patch={"spec":{"ports":[{"name":"http","port":81}]}}'
    )
    shop.patch({"spec": {"scaling": {"minReplicas": 2}}})
    shop.until(lambda: shop.status()["effective"]["minReplicas"] == 2, 60, "the status to follow")
    assert shop.need("deployment")["spec"]["replicas"] == 1
    assert shop.need("service")["spec"]["ports"][0]["port"] == 81
    shop.patch({"spec": {"paused": False}})
    shop.ready(2)
    assert shop.need("service")["spec"]["ports"][0]["port"] == 80


def test_a_deployment_that_lost_its_label_keeps_its_pods(stage: Stage) -> None:
    stage.start_operator()
    stage.server(replicas=3)
    stage.ready(3)
    before = stage.need("deployment")
    pods = {pod["metadata"]["uid"] for pod in stage.pods()}
    stage.kubectl("label", "deployment", "shop", "app.kubernetes.io/managed-by-")
    stage.until(
        lambda: "app.kubernetes.io/managed-by" in stage.need("deployment")["metadata"]["labels"],
        60,
        "the label to come back",
    )
    time.sleep(2)
    after = stage.need("deployment")
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert {pod["metadata"]["uid"] for pod in stage.pods()} == pods
    assert stage.operators[0].said().count("for None replicas") == 1, "it was made once"
