"""What is done to the product while it serves. Each act returns when its effect is over, and is recorded."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from typing import TYPE_CHECKING, Any

from testcluster import faults

from .stage import WORKER

if TYPE_CHECKING:
    from .stage import Stage

NAMESPACE = "mpm-system"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/mpm-operator"
LIVE: tuple[tuple[str, str, tuple[Any, Any]], ...] = (
    ("mpm", "threadsPerChild", (10, 8)),
    ("http", "keepAliveTimeoutSeconds", (7, 5)),
    ("http", "timeoutSeconds", (45, 60)),
    ("http", "maxKeepAliveRequests", (50, 100)),
    ("mpm", "maxConnectionsPerChild", (400, 0)),
)
"""Directives that are changed live, each to the first value that it does not have."""

_rounds = itertools.count(1)


def rollout(stage: Stage) -> None:
    """A new environment in the pod template, until only new pods are there."""
    number = str(next(_rounds))
    container = WORKER | {"env": [{"name": "SOAK_ROUND", "value": number}]}
    with stage.record.doing("rollout", number):
        stage.change({"podTemplate": {"spec": {"containers": [container]}}})
        stage.until(f"rollout {number}", lambda: _rolled_out(stage, number), 240)


def _rolled_out(stage: Stage, number: str) -> bool:
    deployment = stage.record.deployment
    env = deployment["spec"]["template"]["spec"]["containers"][0].get("env", ())
    status = deployment.get("status", {})
    return (
        any(each.get("value") == number for each in env if each["name"] == "SOAK_ROUND")
        and status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == status.get("replicas", 0) == status.get("availableReplicas")
    )


def live_change(stage: Stage, number: int) -> None:
    """Change one directive, until every serving pod's scoreboard shows it."""
    group, name, values = LIVE[number % len(LIVE)]
    value = values[number // len(LIVE) % 2]
    with stage.record.doing("live change", f"{name}: {value}") as act:
        stage.change({group: {name: value}})
        began = time.monotonic()

        def shown() -> bool:
            serving = stage.serving()
            return bool(serving) and all(pod.lines[-1].settings[name] == value for pod in serving)

        stage.until(f"{name} = {value} on all scoreboards", shown, 60)
        act.note += f", seen after {time.monotonic() - began:.2f} s"


def delete_pod(stage: Stage) -> None:
    """`kubectl delete pod` of a serving one, until it is gone."""
    pod = random.choice(stage.serving())
    with stage.record.doing("kubectl delete pod", pod.name):
        stage.cluster.kubectl("delete", "pod", pod.name, f"--namespace={stage.namespace}", "--wait=false")
        stage.until(f"the end of {pod.name}", lambda: pod.gone_at is not None, 120)


def holder(stage: Stage) -> str:
    return str(stage.site.api.get(LEASE)["spec"].get("holderIdentity", ""))


def kill_operator(stage: Stage) -> None:
    """SIGKILL of the operator that leads, until another one does."""
    before = holder(stage)
    pod = before.rpartition("_")[0]
    with stage.record.doing("operator killed", pod):
        os.kill(faults.first_of(faults.in_containers(stage.site, "POD_NAME", pod)), signal.SIGKILL)
        stage.until("another operator to lead", lambda: holder(stage) not in ("", before), 90)


def outage(stage: Stage, seconds: float) -> None:
    """No API server for so long, until it answers again."""
    with (
        stage.record.doing("API server down", f"{seconds:g} s"),
        faults.without(stage.site, "kube-apiserver"),
    ):
        time.sleep(seconds)


def restart_etcd(stage: Stage) -> None:
    with stage.record.doing("etcd restarted"), faults.without(stage.site, "etcd"):
        time.sleep(1)


def wave(stage: Stage, least: int) -> None:
    """Another minReplicas; nothing at all while the API server is away."""
    try:
        stage.change({"scaling": {"minReplicas": least}})
    except OSError:
        pass
