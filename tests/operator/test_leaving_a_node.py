"""Evictions, as a node drain makes them: never refused for good, and no request is lost."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from testcluster.errors import ClusterError

if TYPE_CHECKING:
    from .conftest import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def evicted(stage: Stage, pod: str) -> bool:
    """Ask for the eviction, as `kubectl drain` does; return whether the budget allowed it."""
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": stage.namespace},
    }
    path = f"/api/v1/namespaces/{stage.namespace}/pods/{pod}/eviction"
    try:
        stage.kubectl("create", f"--raw={path}", "--filename=-", input=json.dumps(eviction))
    except ClusterError as error:
        if "disruption budget" not in str(error):
            raise
        return False
    return True


def names(stage: Stage) -> list[str]:
    return [pod["metadata"]["name"] for pod in stage.pods()]


def test_the_only_pod_can_be_evicted_and_no_request_is_lost(stage: Stage) -> None:
    """It accepts for its drain delay, which here is as long as a successor may take on a busy machine."""
    shop = stage
    shop.start_operator()
    shop.server(scaling={"drainDelaySeconds": 40})
    shop.ready(1)
    failures = shop.load(3, 90, "--keep-alive")
    (only,) = names(shop)
    shop.until(lambda: evicted(shop, only), 60, "the eviction of the only pod")
    shop.until(lambda: only not in names(shop) and names(shop), 60, "another pod")
    shop.ready(1)
    shop.until(lambda: len(shop.all("pods")) == 1, 60, "the end of the evicted pod")
    shop.loads[0].terminate()
    assert not failures()


def test_a_pod_that_cannot_start_does_not_hold_up_a_drain(shop: Stage) -> None:
    shop.patch({"spec": {"replicas": 2, "podTemplate": {"spec": {"nodeSelector": {"no": "where"}}}}})
    shop.until(lambda: len(names(shop)) > 2, 60, "pods that can't be scheduled")
    stuck = [
        pod["metadata"]["name"] for pod in shop.pods() if pod["spec"].get("nodeSelector") == {"no": "where"}
    ]
    assert stuck
    assert evicted(shop, stuck[0])


def test_one_pod_leaves_at_a_time(shop: Stage) -> None:
    shop.patch({"spec": {"replicas": 3}})
    shop.ready(3)
    failures = shop.load(3, 60)
    before = names(shop)
    allowed = [name for name in before if evicted(shop, name)]
    came = [pod for pod in names(shop) if pod not in before]
    assert 1 <= len(allowed) <= 1 + len(came), "the budget of three pods is one, and one for each that came"
    left = [name for name in before if name not in allowed]
    deadline = time.monotonic() + 60
    while left and time.monotonic() < deadline:
        left = [name for name in left if not evicted(shop, name)]
        time.sleep(0.5)
    assert not left, "a drain that asks again comes to its end"
    shop.ready(3)
    shop.loads[0].terminate()
    assert not failures()
