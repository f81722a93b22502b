"""What people have without the operator: gunicorn in a plain Deployment, a preStop sleep, and an HPA on CPU.

The HPA is a stand-in: autoscaling/v2's formula on what the pods' control groups say, without metrics-server.
Sync period (15 s) and tolerance are the controller's own; there is no window for scaling down, by default
300 s, else a short run would see no scale-in at all.
"""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from testcluster import cgroups, places

from .stage import APP, NAME, WORKER, Stage, config_map
from .watching import patch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .record import Pod

THREADS = 8
TARGET = 0.14
"""CPUs a pod (`averageValue`): with 70 % of a request as many pods as here would not fit on one node."""
TOLERANCE = 0.1
SYNC_SECONDS = 15.0
MOST = 16
PRE_STOP_SECONDS = 5
LABELS = {"app.kubernetes.io/instance": NAME}


@dataclass
class Peer(Stage):
    """The same acts and waves on a Deployment: what a WebServer changes live is a rollout here."""

    least: int = 2
    has_boards: ClassVar[bool] = False

    def change(self, spec: dict[str, Any]) -> None:
        if "scaling" in spec:
            self.least = spec["scaling"]["minReplicas"]
        if "podTemplate" in spec:
            change = {"template": {"spec": spec["podTemplate"]["spec"]}}
            patch(self.site.api, self.path, {"spec": change}, "application/strategic-merge-patch+json")

    @property
    def path(self) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{NAME}"

    def serving(self) -> list[Pod]:
        return [pod for pod in self.record.pods.values() if pod.ready]

    def prepare(self) -> None:
        self.cluster.apply(config_map(APP), deployment(self), service(), namespace=self.namespace)
        self.until("two ready pods", lambda: len(self.serving()) >= 2, 90)
        self.until("the Service to answer", self.answers, 30)


def gunicorn() -> Path:
    """Where gunicorn lies, for the pods to mount: the image has Python and not it."""
    target = places.cache() / "soak" / "gunicorn"
    if not target.is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--target", target, "gunicorn==23.0.0"], check=True)
    return target


def deployment(peer: Peer) -> dict[str, Any]:
    command = ["python3", "-m", "gunicorn", "--worker-class=gthread", "--workers=1", f"--threads={THREADS}"]
    options = ["--bind=0.0.0.0:8080", "--keep-alive=5", "--graceful-timeout=60", "--worker-tmp-dir=/dev/shm"]
    container = {
        "name": "worker",
        "image": peer.cluster.worker_image,
        "command": [*command, *options, "app:application"],
        "workingDir": "/srv/app",
        "env": [{"name": "PYTHONPATH", "value": "/gunicorn"}],
        "resources": WORKER["resources"],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        "volumeMounts": [
            {"name": "app", "mountPath": "/srv/app"},
            {"name": "gunicorn", "mountPath": "/gunicorn"},
        ],
    }
    volumes = [
        {"name": "app", "configMap": {"name": f"{NAME}-code"}},
        {"name": "gunicorn", "hostPath": {"path": str(gunicorn())}},
    ]
    pod = {"terminationGracePeriodSeconds": 75, "containers": [container], "volumes": volumes}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME},
        "spec": {
            "replicas": peer.least,
            "selector": {"matchLabels": LABELS},
            "template": {"metadata": {"labels": LABELS}, "spec": pod},
        },
    }


def service() -> dict[str, Any]:
    spec = {"selector": LABELS, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}, "spec": spec}


@contextmanager
def autoscaled(peer: Peer) -> Iterator[None]:
    """The stand-in of the HPA meanwhile."""
    ended = threading.Event()
    thread = threading.Thread(target=_scale, args=(peer, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _scale(peer: Peer, ended: threading.Event) -> None:
    before, at = cpu_seconds(peer), time.monotonic()
    while not ended.wait(SYNC_SECONDS):
        used, now = cpu_seconds(peer), time.monotonic()
        both = used.keys() & before.keys()
        cpus = sum(used[uid] - before[uid] for uid in both) / (now - at)
        ready, replicas = len(both) or 1, peer.record.replicas[-1][1]
        ratio = cpus / ready / TARGET
        wanted = replicas if abs(ratio - 1) <= TOLERANCE else math.ceil(ready * ratio)
        wanted = min(MOST, max(peer.least, wanted))
        if wanted != replicas:
            with suppress(OSError):  # the API server is away: the next turn
                patch(peer.site.api, peer.path, {"spec": {"replicas": wanted}})
        before, at = used, now


def cpu_seconds(peer: Peer) -> dict[str, float]:
    """CPU time of each of its pods so far, by the name of its control group."""
    found, ours = {}, {f"pod{pod.uid}" for pod in peer.serving()}
    for hierarchy in cgroups.hierarchies():
        for group in (hierarchy / peer.site.cgroup).glob("kubepods/burstable/pod*"):
            if group.name not in ours:
                continue
            with suppress(OSError):
                if (file := group / "cpuacct.usage").exists():
                    found[group.name] = int(file.read_text()) / 1e9
                elif (file := group / "cpu.stat").exists() and "usage_usec" in (text := file.read_text()):
                    found[group.name] = int(text.split()[1]) / 1e6
    return found
