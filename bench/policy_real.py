"""Knative's and Kubernetes' own autoscalers as policies: the Go programs of `peers/`, each behind a pipe.

They are built once, with the Go toolchain, into the user's cache directory. What is read off the pods, and
when, is the same as for the formulas of `policy_peers`; only who decides differs.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import policy_peers as formulas

from mpm_operator.core.snapshot import PodPhase

if TYPE_CHECKING:
    from mpm_operator.core.plan import Plan
    from mpm_operator.core.snapshot import Snapshot

SOURCES = Path(__file__).parent / "peers"
BINARIES = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mpm-operator" / "peers"


class PeerFailed(Exception):
    """A peer's program ended or refused an order; the text is what it said."""


def build() -> None:
    """Build both programs; quick when nothing changed."""
    BINARIES.mkdir(parents=True, exist_ok=True)
    for arguments, folder in (
        (["go", "build", "-o", str(BINARIES / "knative"), "."], "knative"),
        # The HPA controller reads the clock itself, and only a test can have a virtual one.
        (["go", "test", "-c", "-o", str(BINARIES / "hpa"), "."], "hpa"),
    ):
        subprocess.run(arguments, cwd=SOURCES / folder, check=True)


class Pipe:
    """A running program that answers one line of JSON to each."""

    def __init__(self, *command: str) -> None:
        self._name = " ".join(command)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "MPM_BENCH_PIPE": "1"},
        )

    def ask(self, **order: Any) -> dict[str, Any]:
        """Send an order and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise PeerFailed(f"{self._name}: ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if answer.get("error"):
            raise PeerFailed(f"{self._name}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End the program, by ending its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)
        if self._process.stdout is not None:
            self._process.stdout.close()


class KPA:
    """knative.dev/serving's autoscaler with the defaults of config-autoscaler."""

    def __init__(self, target: float = 0.7) -> None:
        self.target = target
        self.meter = formulas.Meter()
        self.second, self.tick = formulas.Every(1), formulas.Every(2)
        self.wanted: int | None = None
        self.pipe = Pipe(str(BINARIES / "knative"))

    def __call__(self, snapshot: Snapshot, now: float) -> Plan:
        """Record every second, ask every two."""
        if self.wanted is None:
            self.wanted = snapshot.effective.start_pods
            self._begin(snapshot.effective.slots_per_pod)
        if self.second.is_due(now):
            self.meter.look(snapshot)
            if self.meter.before:
                self.pipe.ask(at=self.second.last, record=self.meter.in_flight)
        if self.tick.is_due(now):
            answer = self.pipe.ask(at=self.tick.last, scale=len(formulas.ready(snapshot)))
            self.wanted = int(answer["desired"]) if answer["valid"] else self.wanted
        return formulas.answer(self.wanted, snapshot, "KPA")

    def _begin(self, slots: int) -> None:
        self.pipe.ask(
            new={
                "target": self.target * slots,
                "total": slots,
                "maxScaleUpRate": 1000,
                "maxScaleDownRate": 2,
                "panicThreshold": 2,
                "stableSeconds": 60,
                "panicSeconds": 6,
                "burstCapacity": 211,
            }
        )


class HPA:
    """Kubernetes' HorizontalPodAutoscaler controller with the defaults of kube-controller-manager.

    `metric` and `total` as in `policy_peers.HPA`; metrics are as old as the last scrape.
    """

    def __init__(
        self, target: float = 0.7, *, metric: str = "busy", total: bool = False, lag: float = 15.0
    ) -> None:
        self.target, self.metric, self.total = target, metric, total
        self.meter = formulas.Meter()
        self.second, self.scrape, self.sync = formulas.Every(1), formulas.Every(lag), formulas.Every(15)
        self.scraped: dict[str, float] = {}
        self.wanted: int | None = None
        self.pipe = Pipe(str(BINARIES / "hpa"), "-test.run=^TestPipe$", "-test.timeout=0")

    def __call__(self, snapshot: Snapshot, now: float) -> Plan:
        """Sync every 15 s."""
        if self.wanted is None:
            self.wanted = snapshot.effective.start_pods
            self._begin(snapshot)
        if self.second.is_due(now):
            self.meter.look(snapshot)
        if self.scrape.is_due(now) and self.meter.before:
            self.scraped = self.meter.busy_pods if self.metric == "busy" else self.meter.in_flight_pods
        if self.sync.is_due(now) and self.scraped:
            self.wanted = self._sync(snapshot, now)
        return formulas.answer(self.wanted, snapshot, "HPA")

    def _begin(self, snapshot: Snapshot) -> None:
        per_pod = self.target * snapshot.effective.slots_per_pod
        self.pipe.ask(
            new={
                "kind": "External" if self.total else "Pods",
                "value": round(per_pod * 1000),
                "min": snapshot.effective.min_replicas,
                "max": snapshot.effective.max_pods,
            }
        )

    def _sync(self, snapshot: Snapshot, now: float) -> int:
        pods = [
            {
                "name": pod.name,
                "ready": pod.phase is PodPhase.READY,
                "value": round(self.scraped[pod.name] * 1000) if pod.name in self.scraped else None,
                "started": now - pod.created_at,
                "since": now - (pod.ready_at or pod.created_at),
            }
            for pod in snapshot.pods
            if pod.phase is not PodPhase.TERMINATING
        ]
        total = round(sum(self.scraped.values()) * 1000)
        answer = self.pipe.ask(at=self.sync.last, replicas=formulas.ordered(snapshot), pods=pods, total=total)
        return int(answer["desired"])
