"""One application on the cluster: as a WebServer, or as a plain Deployment with an HPA on CPU beside it."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from soak.watching import Watch

if TYPE_CHECKING:
    from testcluster.cluster import Cluster
    from testcluster.lifecycle import Site

NAME = "live"
SLOTS = 5
SERVICE_S = 0.5
CPU_S = 0.01
"""CPU time of a request: little, as where workers block; enough for an HPA on CPU to see something."""
CPU_REQUEST = SLOTS / SERVICE_S * CPU_S
"""CPUs that a pod with all slots busy uses: so a CPU target is one of busy slots. Nobody has it so good."""
MOST_SLOTS = 96
"""MaxRequestWorkers: eight pods that burst. A machine short of CPU asks for more, and chokes on it."""
MOST_PODS = MOST_SLOTS // SLOTS
DRAIN_DELAY_S = 5
LABELS = {"app.kubernetes.io/instance": NAME}

APP = f"""
import time
from urllib.parse import parse_qs

def application(environ, start_response):
    began = time.monotonic()
    wanted = int(parse_qs(environ.get("QUERY_STRING", "")).get("us", ["0"])[0]) / 1e6
    cpu = time.thread_time() + min(wanted, {CPU_S})
    while time.thread_time() < cpu:
        pass
    time.sleep(max(0.0, wanted - (time.monotonic() - began)))
    held = int(1e6 * (time.monotonic() - began))
    start_response("200 OK", [("Content-Length", "3"), ("X-Held-Us", str(held))])
    return [b"ok\\n"]
"""


@dataclass
class Pods:
    """Pods and replicas as the API server tells of them; times are this machine's wall clock."""

    born: dict[str, float] = field(default_factory=dict)
    ready: dict[str, float] = field(default_factory=dict)
    told: dict[str, float] = field(default_factory=dict)
    """When each was told to end."""
    gone: dict[str, float] = field(default_factory=dict)
    replicas: list[tuple[float, int]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def hear_pod(self, kind: str, item: dict[str, Any]) -> None:
        name, now = item["metadata"]["name"], time.time()
        self.born.setdefault(name, now)
        conditions = {one["type"]: one["status"] for one in item.get("status", {}).get("conditions", ())}
        if conditions.get("Ready") == "True":
            self.ready.setdefault(name, now)
        if item["metadata"].get("deletionTimestamp"):
            self.told.setdefault(name, now)
        if kind == "DELETED":
            self.gone.setdefault(name, now)

    def hear_deployment(self, kind: str, item: dict[str, Any]) -> None:
        count = int(item["spec"].get("replicas") or 0)
        with self.changed:
            if item["metadata"]["name"] == NAME and (not self.replicas or self.replicas[-1][1] != count):
                self.replicas.append((time.time(), count))
                self.changed.notify_all()

    def seconds(self, begin: float, end: float) -> float:
        """Return the pod-seconds between two moments, from birth until gone."""
        lives = ((born, self.gone.get(name, math.inf)) for name, born in self.born.items())
        return sum(max(0.0, min(gone, end) - max(born, begin)) for born, gone in lives)

    def peak(self, begin: float, end: float) -> int:
        """Return the most pods at once."""
        moments = [begin, *(born for born in self.born.values() if begin <= born <= end)]
        return max(sum(b <= at < self.gone.get(n, math.inf) for n, b in self.born.items()) for at in moments)

    def startups(self) -> list[float]:
        """Return how long each pod took from its creation to ready."""
        return [self.ready[name] - born for name, born in self.born.items() if name in self.ready]

    def endings(self) -> list[float]:
        """Return how long each pod took from the word to end until its object was gone."""
        return [self.gone[name] - told for name, told in self.told.items() if name in self.gone]

    def is_settled(self, count: int) -> bool:
        """Whether just so many pods are there, all ready."""
        here = self.born.keys() - self.gone.keys()
        return len(here) == count and here <= self.ready.keys()


@dataclass
class Stage:
    """A namespace with the application in it."""

    cluster: Cluster
    site: Site
    namespace: str
    pods: Pods = field(default_factory=Pods)

    def watch(self) -> list[Watch]:
        space = f"namespaces/{self.namespace}"
        return [
            Watch(self.site.api, f"/api/v1/{space}/pods", self.pods.hear_pod),
            Watch(self.site.api, f"/apis/apps/v1/{space}/deployments", self.pods.hear_deployment),
        ]

    def apply(self, *objects: dict[str, Any]) -> None:
        code = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{NAME}-code"}}
        self.cluster.apply({**code, "data": {"app.py": APP}}, *objects, namespace=self.namespace)

    def settle(self, count: int, seconds: float = 180.0) -> None:
        """Wait until just so many pods are there and ready."""
        deadline = time.monotonic() + seconds
        while not self.pods.is_settled(count):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not {count} ready pods within {seconds:g} s")
            time.sleep(0.2)

    @property
    def url(self) -> str:
        path = f"/api/v1/namespaces/{self.namespace}/services/{NAME}"
        return f"http://{self.site.api.get(path)['spec']['clusterIP']}/"


def webserver(burst: int, window_s: int, wait_percent: int = 5, **mpm: Any) -> dict[str, Any]:
    """Return the WebServer: SLOTS slots a pod, which may burst up to `burst`."""
    directives = {"type": "Event", "startServers": 1, "threadsPerChild": SLOTS, "threadLimit": burst}
    scaling = {
        "scaleDownStabilizationSeconds": window_s,
        "drainDelaySeconds": DRAIN_DELAY_S,
        "waitProbabilityPercent": wait_percent,
    }
    return {
        "apiVersion": "mpm-operator.io/v1alpha1",
        "kind": "WebServer",
        "metadata": {"name": NAME},
        "spec": {
            "app": {"module": "app:application", "configMapRef": {"name": f"{NAME}-code"}},
            "mpm": {**directives, "maxRequestWorkers": MOST_SLOTS, **mpm},
            "scaling": scaling,
        },
    }


def peer(image: str, replicas: int, percent: int) -> list[dict[str, Any]]:
    """Return the same application and worker without the operator: Deployment, Service, HPA on CPU.

    `percent` of the CPU request is the HPA's target.
    """
    options = ["--bind=0.0.0.0:8080", "--admin=0.0.0.0:9090", "--mpm=event", "--processes=1"]
    options += [f"--threads={SLOTS}", f"--thread-limit={SLOTS}", "--chdir=/srv/app", "app:application"]
    container = {
        "name": "worker",
        "image": image,
        "command": ["mpm-worker", *options],
        "resources": {"requests": {"cpu": f"{1000 * CPU_REQUEST:.0f}m"}},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 9090}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_DELAY_S}}},
        "volumeMounts": [{"name": "app", "mountPath": "/srv/app"}],
    }
    volumes = [{"name": "app", "configMap": {"name": f"{NAME}-code"}}]
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [container], "volumes": volumes}}
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME}
    metrics = [{"type": "Resource", "resource": cpu}]
    hpa = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": MOST_PODS, "metrics": metrics}
    deployment = {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": template}
    service = {"selector": LABELS, "ports": [{"port": 80, "targetPort": 8080}]}
    kinds = (
        ("apps/v1", "Deployment", deployment),
        ("v1", "Service", service),
        ("autoscaling/v2", "HorizontalPodAutoscaler", hpa),
    )
    return [
        {"apiVersion": version, "kind": kind, "metadata": {"name": NAME}, "spec": spec}
        for version, kind, spec in kinds
    ]
