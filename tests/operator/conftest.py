"""Operators as real processes in the cluster's network, and WebServers to look after."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from testcluster.definition import await_established
from testcluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testcluster.cluster import Cluster

REPOSITORY = Path(__file__).parents[2]
PORTS = itertools.count(random.randrange(20_000, 29_000))
"""Of the cluster's network: no two operators get the same."""
DEFINITION = REPOSITORY / "crds" / "mpm-operator.io_webservers.yaml"
LOAD = REPOSITORY / "tests" / "load" / "closed_loop.py"

SLEEPER = """\
import time

def application(environ, start_response):
    time.sleep(0.05)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"ok\\n"]
"""


@dataclass
class Operator:
    """One `mpm-operator` process that watches one namespace."""

    process: subprocess.Popen[bytes]
    log: Path
    ports: tuple[int, int]
    """Of health and of metrics."""

    def send(self, number: int) -> None:
        # Its own session: nsenter and the operator are signalled together.
        os.killpg(self.process.pid, number)

    def end(self, number: int = signal.SIGTERM, seconds: float = 60) -> int:
        if self.process.poll() is None:
            self.send(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            raise

    def said(self) -> str:
        return self.log.read_text()


@dataclass
class Stage:
    """One namespace of the cluster, with what tests do in it."""

    cluster: Cluster
    namespace: str
    folder: Path
    operators: list[Operator] = field(default_factory=list)
    loads: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_operator(self, *options: str, program: tuple[str, ...] = ()) -> Operator:
        """Start `mpm-operator`, or the operator that `program` is."""
        log = self.folder / f"operator-{len(self.operators)}.log"
        health, metrics = next(PORTS), next(PORTS)
        argv = [
            "env",
            f"KUBECONFIG={self.cluster.kubeconfig}",
            *(program or (str(Path(sys.executable).with_name("mpm-operator")),)),
            f"--namespace={self.namespace}",
            f"--worker-image={self.cluster.worker_image}",
            f"--lease-namespace={self.namespace}",
            f"--health-port={health}",
            f"--metrics-port={metrics}",
            "--log-format=text",
            "--log-level=debug",
            *options,
        ]
        with log.open("wb") as out:
            process = self.cluster.popen(argv, stdout=out, stderr=out, start_new_session=True)
        operator = Operator(process, log, (health, metrics))
        self.operators.append(operator)
        self.until(lambda: "kopf" in operator.said() or self.lease(), 90, "the operator to speak")
        return operator

    def lease(self) -> str:
        """Return who holds the lease."""
        found = self.all("leases")
        return found[0]["spec"].get("holderIdentity", "") if found else ""

    def server(self, name: str = "shop", *, code: str = SLEEPER, **spec: Any) -> None:
        """Apply a WebServer of five slots a pod, and the ConfigMap with its code."""
        mpm = {
            "type": "Event",
            "threadsPerChild": 5,
            "threadLimit": 5,
            "minSpareThreads": 2,
            "maxSpareThreads": 10,
            "maxRequestWorkers": 60,
            "startServers": 1,
        } | spec.pop("mpm", {})
        scaling = {"scaleDownStabilizationSeconds": 5} | spec.pop("scaling", {})
        self.cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": f"{name}-code"},
                "data": {"sleeper.py": code},
            },
            {
                "apiVersion": "mpm-operator.io/v1alpha1",
                "kind": "WebServer",
                "metadata": {"name": name},
                "spec": {
                    "app": {"module": "sleeper:application", "configMapRef": {"name": f"{name}-code"}},
                    "mpm": {key: value for key, value in mpm.items() if value is not None},
                    "scaling": scaling,
                    **spec,
                },
            },
            namespace=self.namespace,
        )

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        return self.cluster.kubectl(f"--namespace={self.namespace}", *arguments, input=input)

    def patch(self, change: dict[str, Any], name: str = "shop") -> None:
        self.kubectl("patch", "webserver", name, "--type=merge", f"--patch={json.dumps(change)}")

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        text = self.kubectl("get", kind, name, "--ignore-not-found", "--output=json")
        return json.loads(text) if text.strip() else None

    def managed(self, kind: str, name: str = "shop") -> list[dict[str, Any]]:
        """Return who owns which fields."""
        text = self.kubectl("get", kind, name, "--output=json", "--show-managed-fields")
        return list(json.loads(text)["metadata"]["managedFields"])

    def need(self, kind: str, name: str = "shop") -> dict[str, Any]:
        found = self.get(kind, name)
        assert found is not None, f"no {kind} {name}"
        return found

    def all(self, kind: str, *more: str) -> list[dict[str, Any]]:
        found = json.loads(self.kubectl("get", kind, "--output=json", *more))
        return list(found["items"])

    def pods(self, name: str = "shop") -> list[dict[str, Any]]:
        """Return the pods that were not told to end."""
        found = self.all("pods", f"--selector=mpm-operator.io/webserver={name}")
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    def status(self, name: str = "shop") -> dict[str, Any]:
        return self.need("webserver", name).get("status") or {}

    def condition(self, kind: str, name: str = "shop") -> tuple[str, str]:
        """Return status and reason of a condition, or nothing twice."""
        for condition in self.status(name).get("conditions") or ():
            if condition["type"] == kind:
                return condition["status"], condition["reason"]
        return "", ""

    def message(self, kind: str, name: str = "shop") -> str:
        found = self.status(name).get("conditions") or ()
        return next((str(one["message"]) for one in found if one["type"] == kind), "")

    def ready(self, pods: int, name: str = "shop", seconds: float = 120) -> None:
        """Wait until so many pods are wanted, there and ready."""

        def settled() -> bool:
            deployment = self.get("deployment", name) or {}
            state = deployment.get("status") or {}
            wanted = (deployment.get("spec") or {}).get("replicas")
            return wanted == pods and state.get("readyReplicas", 0) == pods and len(self.pods(name)) == pods

        self.until(settled, seconds, f"{pods} ready pods of {name}")

    def boards(self, name: str = "shop") -> list[dict[str, Any]]:
        """Return the scoreboard of each pod, asked in the cluster's network."""
        addresses = [pod["status"]["podIP"] for pod in self.pods(name) if pod["status"].get("podIP")]
        return [json.loads(self.fetch(f"http://{address}:9090/scoreboard")) for address in addresses]

    def fetch(self, url: str) -> str:
        """Return what the URL says in the cluster's network."""
        script = (
            "import sys,urllib.request as u;"
            "sys.stdout.write(u.urlopen(sys.argv[1],timeout=15).read().decode())"
        )
        return self.cluster.run([sys.executable, "-c", script, url])

    def answers(self, url: str) -> bool:
        """Return whether the proxies know the way to the URL yet."""
        try:
            self.fetch(url)
        except ClusterError:
            return False
        return True

    def ports(self) -> tuple[int, int]:
        return self.operators[0].ports

    def load(
        self, clients: int, seconds: float, *options: str, name: str = "shop"
    ) -> Callable[[], list[str]]:
        """Start clients on the Service; the answer waits for their end and returns what failed."""
        address = self.need("service", name)["spec"]["clusterIP"]
        self.until(lambda: self.answers(f"http://{address}/"), 90, f"the Service of {name} to answer")
        process = self.cluster.popen(
            [
                sys.executable,
                LOAD,
                f"http://{address}/",
                f"--clients={clients}",
                f"--seconds={seconds}",
                *options,
            ],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.loads.append(process)

        def failures() -> list[str]:
            out, _ = process.communicate(timeout=seconds + 60)
            result = json.loads(out.splitlines()[-1])
            assert result["requests"] > 0
            return [str(result["failures"]), *result["first_failures"]] if result["failed"] else []

        return failures

    def until(self, holds: Callable[[], Any], seconds: float, what: str) -> float:
        """Wait until it holds; return how long that took."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > seconds:
                pytest.fail(f"waited {seconds:g} s in vain for {what}\n{self.story()}", pytrace=False)
            time.sleep(0.1)
        return time.monotonic() - began

    def story(self) -> str:
        """Return what a person would look at after a failure."""
        parts = [operator.said()[-6000:] for operator in self.operators]
        parts.append(self.kubectl("get", "webservers,deployments,pods", "--output=wide"))
        parts.append(json.dumps([one.get("status") for one in self.all("webservers")], indent=1))
        parts += [
            self.kubectl("logs", pod["metadata"]["name"], "--tail=20")
            for pod in self.all("pods")
            if any(not one.get("ready") for one in pod["status"].get("containerStatuses") or ())
        ]
        return "\n".join(parts)

    def close(self) -> None:
        for load in self.loads:
            if load.poll() is None:
                os.killpg(load.pid, signal.SIGTERM)
                load.communicate(timeout=60)
            elif load.stdout is not None:
                load.stdout.close()
        for operator in self.operators:
            if operator.process.poll() is None:
                operator.send(signal.SIGCONT)
                operator.end()


@pytest.fixture(scope="session")
def defined(cluster: Cluster) -> Cluster:
    """The cluster with our CRD."""
    cluster.kubectl("apply", "--server-side", f"--filename={DEFINITION}")
    await_established(cluster)
    return cluster


@pytest.fixture
def stage(defined: Cluster, namespace: str, tmp_path: Path) -> Iterator[Stage]:
    """An empty namespace and no operator."""
    made = Stage(defined, namespace, tmp_path)
    yield made
    made.close()


@pytest.fixture
def shop(stage: Stage) -> Stage:
    """A namespace with an operator, and one ready pod of the WebServer `shop`."""
    stage.start_operator()
    stage.server()
    stage.ready(1)
    return stage
