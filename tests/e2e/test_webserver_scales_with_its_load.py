"""The main job, on the real cluster: saturated pools grow at once, idle pods go, no request is cut."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from product import CLIENTS, SLOTS_A_POD, Watched, config_map, load, status, wait_until, webserver

if TYPE_CHECKING:
    from collections.abc import Callable

    from testcluster.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def demand_met_at(lines: list[dict[str, Any]]) -> float | None:
    """The second after which three seconds in a row had p95 ≤ 100 ms, from the start of the load."""
    good = 0
    for line in lines:
        good = good + 1 if line["requests"] and line["p95_ms"] <= 100 else 0
        if good == 3:
            return float(line["second"])
    return None


@pytest.mark.parametrize("keep_alive", [False, True], ids=["connection-per-request", "keep-alive"])
def test_forty_blocked_clients_get_their_slots_and_none_of_their_requests_is_cut(
    installed: Cluster, namespace: str, keep_alive: bool, record_property: Callable[[str, object], None]
) -> None:
    cluster = installed
    cluster.apply(config_map(), webserver(), namespace=namespace)
    wait_until(
        "a first pod that is ready", lambda: status(cluster, namespace).get("readyReplicas", 0) >= 1, 60
    )
    ip = cluster.get("service", "blocking", f"--namespace={namespace}")["spec"]["clusterIP"]
    with Watched(cluster, namespace) as deployment:
        began = time.time()
        process = load(cluster, f"http://{ip}/", seconds=30, keep_alive=keep_alive)
        output, _ = process.communicate(timeout=120)
        *lines, summary = [json.loads(line) for line in output.splitlines()]
        peak = max(replicas for _, replicas in deployment.seen)
        requested = deployment.first_growth_after(began)
        back = wait_until("back at one pod", lambda: status(cluster, namespace).get("replicas", 0) == 1, 180)
        end = load(cluster, f"http://{ip}/", seconds=2, keep_alive=keep_alive)
        last = json.loads(end.communicate(timeout=60)[0].splitlines()[-1])
    met = demand_met_at(lines)
    figures = {
        "first_pod_requested_s": round(requested, 2),
        "demand_met_s": met,
        "peak_pods": peak,
        "back_to_one_pod_s": round(back, 1),
        **{key: summary[key] for key in ("requests", "failed", "p50_ms", "p95_ms", "p99_ms")},
    }
    record_property("figures", figures)
    print(json.dumps(figures))
    print("p95 of each second, ms:", *(f"{line['p95_ms']:.0f}" for line in lines))
    print("replicas:", *(f"{at - began:.1f}s:{replicas}" for at, replicas in deployment.seen))
    assert summary["failed"] == 0, json.dumps(summary)
    assert last["failed"] == 0, last
    assert peak * SLOTS_A_POD >= CLIENTS
