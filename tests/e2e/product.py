"""The product as a user has it: the chart, a blocking WebServer, and clients that count what fails."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testcluster import binaries, definition

if TYPE_CHECKING:
    from collections.abc import Callable

    from testcluster.cluster import Cluster

REPOSITORY = Path(__file__).parents[2]
RELEASE = "mpm-operator"
NAMESPACE = "mpm-system"


def repository_and_tag(image: str) -> tuple[str, str]:
    repository, _, tag = image.rpartition(":")
    return repository, tag


def install(cluster: Cluster, *extra: str) -> None:
    """`helm upgrade --install` of the chart with this checkout's images, until its pods are ready."""
    definition.withdraw(cluster)
    repository, tag = repository_and_tag(cluster.operator_image)
    worker_repository, worker_tag = repository_and_tag(cluster.worker_image)
    cluster.helm(
        "upgrade",
        "--install",
        RELEASE,
        str(REPOSITORY / "charts" / "mpm-operator"),
        f"--namespace={NAMESPACE}",
        "--create-namespace",
        f"--set=image.repository={repository}",
        f"--set=image.tag={tag}",
        f"--set=workerImage.repository={worker_repository}",
        f"--set=workerImage.tag={worker_tag}",
        *extra,
        "--wait",
        "--timeout=120s",
    )


def uninstall(cluster: Cluster) -> None:
    cluster.helm("uninstall", RELEASE, f"--namespace={NAMESPACE}", "--ignore-not-found", "--wait")


CLOSED_LOOP = REPOSITORY / "tests" / "load" / "closed_loop.py"
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
        wait_until("the watch of the Deployment", lambda: bool(self.seen), 60)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()
        self.thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

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
