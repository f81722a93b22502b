"""One namespace with a served application, the clients of it, and the recorder."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .record import Record
from .watching import Watch, patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testcluster.cluster import Cluster
    from testcluster.lifecycle import Site

    from .record import Pod

ROOT = Path(__file__).parents[2]
LOAD = ROOT / "tests" / "load"
NAME = "soak"
SELECTOR = f"app.kubernetes.io/instance={NAME}"
SLOTS = 8
"""Of a pod."""

APP = """
import socket
import time
from urllib.parse import parse_qs

POD = socket.gethostname()

def application(environ, start_response):
    time.sleep(int(parse_qs(environ.get("QUERY_STRING", "")).get("ms", ["0"])[0]) / 1000)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3"), ("X-Pod", POD)])
    return [b"ok\\n"]
"""


WORKER: dict[str, Any] = {"name": "worker", "resources": {"requests": {"cpu": "20m"}}}
"""So small a request that more pods fit on the test's one node than it has CPUs for."""


def config_map(code: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{NAME}-code"},
        "data": {"app.py": code},
    }


def webserver(
    mpm: dict[str, Any] | None = None, scaling: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    return {
        "apiVersion": "mpm-operator.io/v1alpha1",
        "kind": "WebServer",
        "metadata": {"name": NAME},
        "spec": {
            "app": {"module": "app:application", "configMapRef": {"name": f"{NAME}-code"}},
            "mpm": {
                "type": "Event",
                "startServers": 2,
                "threadsPerChild": SLOTS,
                "threadLimit": 16,
                "maxRequestWorkers": 128,
                **(mpm or {}),
            },
            "scaling": {"minReplicas": 2, "scaleDownStabilizationSeconds": 5, **(scaling or {})},
            "podTemplate": {"spec": {"containers": [WORKER]}},
            **spec,
        },
    }


@dataclass
class Stage:
    """What acts and tests work with."""

    cluster: Cluster
    site: Site
    namespace: str
    record: Record = field(default_factory=Record)
    milliseconds: int = 0
    clients: subprocess.Popen[str] | None = None
    has_boards: ClassVar[bool] = True
    """Whether the pods have an admin port to listen to."""

    def change(self, spec: dict[str, Any]) -> None:
        """Patch the WebServer's spec."""
        patch(
            self.site.api,
            f"/apis/mpm-operator.io/v1alpha1/namespaces/{self.namespace}/webservers/{NAME}",
            {"spec": spec},
        )

    def status(self) -> dict[str, Any]:
        path = f"/apis/mpm-operator.io/v1alpha1/namespaces/{self.namespace}/webservers/{NAME}"
        return dict(self.site.api.get(path).get("status", {}))

    def serving(self) -> list[Pod]:
        """Pods that serve as far as anybody can tell."""
        return self.record.serving()

    def until(self, what: str, holds: Callable[[], Any], seconds: float) -> float:
        """Wait until it holds; how long that took. An API server that does not answer is waited for."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            try:
                if holds():
                    return time.monotonic() - began
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"not within {seconds:g} s: {what}; {self.story()}")

    def story(self) -> str:
        """What a person would look at first."""
        try:
            status = self.status()
        except OSError as error:
            return str(error)
        told = [f"{each['type']}={each['status']} {each['message']}" for each in status.get("conditions", ())]
        deployment = self.record.deployment.get("status", {})
        numbers = {key: value for key, value in deployment.items() if key != "conditions"}
        return f"{numbers}; {status.get('decision')}; {'; '.join(told)}"

    def demand(self, milliseconds: int) -> None:
        """Let every request take so long from now on."""
        assert self.clients is not None
        assert self.clients.stdin is not None
        self.clients.stdin.write(f"{milliseconds}\n")
        self.clients.stdin.flush()
        self.milliseconds = milliseconds
        self.record.demand.append((time.time(), milliseconds))

    def address(self) -> str:
        found = self.site.api.get(f"/api/v1/namespaces/{self.namespace}/services/{NAME}")
        return f"http://{found['spec']['clusterIP']}/"

    def program(self, name: str, *options: str) -> subprocess.Popen[str]:
        """A program of tests/load in the cluster's network, spoken to by lines."""
        argv = [sys.executable, LOAD / name, *options]
        return self.cluster.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def answers(self) -> bool:
        """Whether the proxies know the Service by now."""
        options = ["--clients=1", "--seconds=0.5", "--timeout=2"]
        out = self.cluster.run([sys.executable, LOAD / "closed_loop.py", self.address(), *options])
        return json.loads(out.splitlines()[-1])["failed"] == 0


def prepare(stage: Stage, code: str = APP, **spec: Any) -> None:
    """The WebServer, until its pods are ready and its Service answers."""
    server = webserver(**spec)
    stage.cluster.apply(config_map(code), server, namespace=stage.namespace)
    least = server["spec"]["scaling"]["minReplicas"]
    stage.until(
        f"{least} ready pods", lambda: sum(pod.ready for pod in stage.record.pods.values()) >= least, 90
    )
    stage.until("the Service to answer", stage.answers, 90)


@contextmanager
def watched(stage: Stage) -> Iterator[Stage]:
    """Record pods, replicas and scoreboards meanwhile."""
    boards = stage.program("boards.py")
    followed: set[str] = set()
    ended = threading.Event()

    def hear_pod(kind: str, item: dict[str, Any]) -> None:
        stage.record.hear_pod(kind, item)
        pod = stage.record.pods[item["metadata"]["name"]]
        if stage.has_boards and pod.address and pod.name not in followed and not ended.is_set():
            followed.add(pod.name)
            assert boards.stdin is not None
            boards.stdin.write(f"{pod.name} {pod.address}\n")
            boards.stdin.flush()

    space = f"namespaces/{stage.namespace}"
    reader = _reading(boards, stage.record.hear_line)
    watches = [
        Watch(stage.site.api, f"/api/v1/{space}/pods", hear_pod, SELECTOR),
        Watch(stage.site.api, f"/apis/apps/v1/{space}/deployments", stage.record.hear_deployment),
    ]
    try:
        yield stage
    finally:
        stage.record.ended = stage.record.ended or time.time()
        ended.set()
        for watch in watches:
            watch.end()
        _end(boards, reader)


@contextmanager
def clients(stage: Stage, count: int, period: float, milliseconds: int) -> Iterator[None]:
    """Clients meanwhile; what they say goes into the record. All of it is there afterwards."""
    options = (f"--clients={count}", f"--period={period}", f"--milliseconds={milliseconds}")
    stage.clients = stage.program("steady.py", stage.address(), *options)
    reader = _reading(stage.clients, stage.record.hear_client)
    stage.demand(milliseconds)
    stage.record.began = time.time()
    try:
        yield
    finally:
        _end(stage.clients, reader)
        stage.record.ended = time.time()


def _reading(process: subprocess.Popen[str], hear: Callable[[dict[str, Any]], None]) -> threading.Thread:
    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            hear(json.loads(line))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _end(process: subprocess.Popen[str], reader: threading.Thread) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    reader.join()
    process.stdout.close()
