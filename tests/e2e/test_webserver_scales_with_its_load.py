"""The main job, on the real cluster: saturated pools grow at once, idle pods go, no request is cut."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from testcluster.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

CLOSED_LOOP = Path(__file__).parents[1] / "load" / "closed_loop.py"
CLIENTS = 40
SLOTS_A_POD = 5
APP = """
import time

def application(environ, start_response):
    time.sleep(0.05)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"ok\\n"]
"""


def config_map() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "blocking-code"},
        "data": {"app.py": APP},
    }


def webserver(**mpm: Any) -> dict[str, Any]:
    return {
        "apiVersion": "mpm-operator.io/v1alpha1",
        "kind": "WebServer",
        "metadata": {"name": "blocking"},
        "spec": {
            "app": {"module": "app:application", "configMapRef": {"name": "blocking-code"}},
            "mpm": {
                "type": "Event",
                "startServers": 1,
                "threadsPerChild": SLOTS_A_POD,
                "threadLimit": SLOTS_A_POD,
                "maxRequestWorkers": 100,
                **mpm,
            },
            "scaling": {"scaleDownStabilizationSeconds": 15, "drainDelaySeconds": 1},
        },
    }


def wait_until(what: str, holds: Callable[[], bool], seconds: float) -> float:
    """Wait until `holds()`; return how long it took, fail with `what` after `seconds`."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if holds():
            return time.monotonic() - began
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s: {what}")


@dataclass
class Watched:
    """Times at which the Deployment first asked for each number of replicas, by a watch."""

    cluster: Cluster
    namespace: str
    seen: list[tuple[float, int]] = field(default_factory=list)

    def __enter__(self) -> Watched:
        from testcluster import binaries

        program = [binaries.program("kubectl"), "--kubeconfig", self.cluster.kubeconfig]
        self.process = subprocess.Popen(
            [
                *map(str, program),
                "get",
                "deployment",
                "blocking",
                f"--namespace={self.namespace}",
                "--watch",
                '--output=jsonpath={.spec.replicas}{"\\n"}',
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.thread = threading.Thread(target=self.read)
        self.thread.start()
        wait_until("the watch of the Deployment", lambda: bool(self.seen), 15)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()
        self.thread.join()

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            replicas = int(line)
            if not self.seen or self.seen[-1][1] != replicas:
                self.seen.append((time.time(), replicas))

    def first_growth_after(self, moment: float) -> float:
        before = [replicas for at, replicas in self.seen if at < moment][-1]
        return next(at for at, replicas in self.seen if at >= moment and replicas > before) - moment


def load(cluster: Cluster, url: str, seconds: float, keep_alive: bool) -> subprocess.Popen[str]:
    argv = [sys.executable, CLOSED_LOOP, url, f"--clients={CLIENTS}", f"--seconds={seconds}"]
    if keep_alive:
        argv.append("--keep-alive")
    return subprocess.Popen(cluster.in_network(argv), stdout=subprocess.PIPE, text=True)


def status(cluster: Cluster, namespace: str) -> dict[str, Any]:
    found = cluster.get("webserver", "blocking", f"--namespace={namespace}")
    return dict(found.get("status", {}))


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
        process = load(cluster, f"http://{ip}/", seconds=45, keep_alive=keep_alive)
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
    assert summary["failed"] == 0, summary
    assert last["failed"] == 0, last
    assert peak * SLOTS_A_POD >= CLIENTS
    assert met is not None, lines
