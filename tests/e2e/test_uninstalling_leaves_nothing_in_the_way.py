"""An operator that is gone blocks nothing: no finalizer waits for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from product import config_map, install, status, uninstall, wait_until, webserver

if TYPE_CHECKING:
    from testcluster.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def test_operator_deleted_then_the_namespace_goes(cluster: Cluster, namespace: str) -> None:
    install(cluster)
    cluster.apply(config_map(), webserver(), namespace=namespace)
    wait_until("a pod that is ready", lambda: status(cluster, namespace).get("readyReplicas", 0) >= 1, 60)
    uninstall(cluster)
    began = time.monotonic()
    cluster.kubectl("delete", "namespace", namespace, "--timeout=120s", timeout=150)
    print(f"namespace gone after {time.monotonic() - began:.1f} s")
    assert namespace not in cluster.kubectl("get", "namespaces", "--output=name")
