"""What was seen during a run: pods, scoreboards, changes of replicas, failures, and what was going on."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from testcluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator

Object = dict[str, Any]

VICTIM_COST = "-1000"
TOGETHER_SECONDS = 1.0
"""Pods quiesced so close to each other were one choice."""
AFTERMATH_SECONDS = 5.0
"""What was done may show its effect so long after its end."""


class Line(NamedTuple):
    """One line of a pod's scoreboard stream."""

    at: float
    state: str
    busy: int
    queue: int
    total: int
    settings: Object
    accesses: int
    cut: int
    threads: int


@dataclass
class Pod:
    """One pod's life; times are the recorder's wall clock, None while it has not happened."""

    name: str
    seen_at: float
    created: str = ""
    uid: str = ""
    address: str = ""
    ready: bool = False
    told_at: float | None = None
    gone_at: float | None = None
    was_victim: bool = False
    exit_codes: list[int] = field(default_factory=list)
    restarts: int = 0
    lines: list[Line] = field(default_factory=list)
    stream_ended_at: float | None = None
    boot: str = ""
    """Of the supervisor that wrote the last line."""

    def before(self, at: float) -> Line | None:
        """The last line before that moment."""
        return next((line for line in reversed(self.lines) if line.at < at), None)


@dataclass
class Act:
    """Something that was done to the product, from its first to its last effect."""

    kind: str
    began: float
    ended: float = float("inf")
    note: str = ""
    failure: str = ""
    """What of its effect was not seen in time."""


@dataclass
class Record:
    """Everything seen. Written by several threads, each under `lock`."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    began: float = field(default_factory=time.time)
    ended: float = 0.0
    pods: dict[str, Pod] = field(default_factory=dict)
    replicas: list[tuple[float, int]] = field(default_factory=list)
    deployment: Object = field(default_factory=dict)
    acts: list[Act] = field(default_factory=list)
    failures: list[Object] = field(default_factory=list)
    seconds: list[Object] = field(default_factory=list)
    demand: list[tuple[float, int]] = field(default_factory=list)
    """Since when the application takes how many milliseconds."""
    summary: Object = field(default_factory=dict)

    def hear_deployment(self, kind: str, item: Object) -> None:
        with self.lock:
            self.deployment = item if kind != "DELETED" else {}
            replicas = item["spec"]["replicas"]
            if kind != "DELETED" and (not self.replicas or self.replicas[-1][1] != replicas):
                self.replicas.append((time.time(), replicas))

    def hear_pod(self, kind: str, item: Object) -> None:
        now, meta, status = time.time(), item["metadata"], item.get("status", {})
        with self.lock:
            pod = self.pods.setdefault(
                meta["name"], Pod(meta["name"], now, meta["creationTimestamp"], meta.get("uid", ""))
            )
            pod.address = status.get("podIP", "")
            conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
            pod.ready = conditions.get("Ready") == "True" and "deletionTimestamp" not in meta
            cost = meta.get("annotations", {}).get("controller.kubernetes.io/pod-deletion-cost")
            if "deletionTimestamp" in meta and pod.told_at is None:
                pod.told_at, pod.was_victim = now, cost == VICTIM_COST
            for container in status.get("containerStatuses", ()):
                pod.restarts = max(pod.restarts, container.get("restartCount", 0))
                ended = container.get("state", {}).get("terminated")
                if ended and ended["exitCode"] not in pod.exit_codes:
                    pod.exit_codes.append(ended["exitCode"])
            if kind == "DELETED":
                pod.gone_at = pod.gone_at or now

    def hear_line(self, line: Object) -> None:
        with self.lock:
            pod = self.pods[line["pod"]]
            if "ended" in line:
                pod.stream_ended_at = line["at"]
                return
            pod.boot = line["boot"]
            pod.lines.append(
                Line(
                    line["at"],
                    line["state"],
                    line["busy"],
                    line["queue"],
                    line["total"],
                    line["settings"],
                    line["accesses"],
                    line["cut"],
                    line["threads"],
                )
            )

    def hear_client(self, line: Object) -> None:
        with self.lock:
            if "failure" in line:
                self.failures.append(line)
            elif "second" in line:
                self.seconds.append(line)
            else:
                self.summary = line

    @contextmanager
    def doing(self, kind: str, note: str = "") -> Iterator[Act]:
        act = Act(kind, time.time(), note=note)
        with self.lock:
            self.acts.append(act)
        try:
            yield act
        except (AssertionError, OSError, ClusterError) as error:
            # The run goes on: what is of interest is whether requests fail.
            act.failure = str(error)
        finally:
            act.ended = time.time()

    @property
    def requests(self) -> int:
        with self.lock:
            return sum(second["requests"] for second in self.seconds)

    @property
    def scale_events(self) -> int:
        """Changes of the Deployment's replicas after the first number."""
        return max(0, len([1 for at, _ in self.replicas if at > self.began]))

    def serving(self) -> list[Pod]:
        """Pods that were not told to end and whose last line says that they serve."""
        with self.lock:
            return [
                pod
                for pod in self.pods.values()
                if pod.told_at is None and pod.lines and pod.lines[-1].state == "Serving"
            ]

    def going_on(self, at: float) -> list[str]:
        """What had been done lately at that moment."""
        with self.lock:
            return [
                f"{act.kind} ({act.note})" if act.note else act.kind
                for act in self.acts
                if act.began - 0.5 <= at <= act.ended + AFTERMATH_SECONDS
            ]


def pod_seconds(record: Record) -> float:
    """Sum of the lives of all pods within the run, starting and ending ones included."""
    total = 0.0
    for pod in record.pods.values():
        total += max(0.0, min(pod.gone_at or record.ended, record.ended) - max(pod.seen_at, record.began))
    return total


def ideal_pod_seconds(record: Record, slots: int) -> float:
    """Pods that could just carry what was served, second by second: rate × service time / slots."""
    total = 0.0
    for second in record.seconds:
        service = next((ms for at, ms in reversed(record.demand) if at <= second["second"]), 0) / 1000
        total += max(1, -(-second["requests"] * service // slots))
    return total


def busy_when_scaled_in(record: Record) -> dict[str, int]:
    """Pods that a scale-in told to end, and of these the ones that were still busy by their last line."""
    gone = [pod for pod in record.pods.values() if pod.was_victim and pod.told_at is not None]
    busy = [pod for pod in gone if (line := pod.before(pod.told_at or 0.0)) is not None and line.busy > 0]
    return {"pods": len(gone), "busy": len(busy)}


def busy_at_choice(record: Record) -> dict[str, int]:
    """Busy slots of the pods by the line in which they quiesce, and what newest-first would have hit.

    Newest-first, as a ReplicaSet without deletion costs chooses among ready pods: those created last.
    """
    moments = []
    for pod in record.pods.values():
        for earlier, line in zip(pod.lines, pod.lines[1:], strict=False):
            if earlier.state == "Serving" and line.state in ("Quiescing", "Drained"):
                moments.append((line.at, pod.name, line.busy))
    moments.sort()
    ours = newest = 0
    while moments:
        together = [each for each in moments if each[0] - moments[0][0] <= TOGETHER_SECONDS]
        ours += sum(busy for _, _, busy in together)
        newest += _busy_of_newest(record, moments[0][0], len(together))
        moments = moments[len(together) :]
    return {"ours": ours, "newest_first": newest}


def _busy_of_newest(record: Record, at: float, count: int) -> int:
    there = [
        (pod.created, pod.name, line.busy)
        for pod in record.pods.values()
        if (pod.told_at is None or pod.told_at > at)
        and (line := pod.before(at)) is not None
        and line.state == "Serving"
    ]
    return sum(busy for _, _, busy in sorted(there)[-count:])


def exits(record: Record) -> dict[str, Any]:
    """How the containers ended, restarts, and servers cut at their deadline."""
    codes: dict[str, int] = {}
    for pod in record.pods.values():
        for code in pod.exit_codes:
            codes[str(code)] = codes.get(str(code), 0) + 1
    killed = [
        {
            "pod": pod.name,
            "told_at_age": round((pod.told_at or record.ended) - pod.seen_at, 1),
            "took": round((pod.gone_at or record.ended) - (pod.told_at or record.ended), 1),
            "heard_before": bool(pod.lines and pod.told_at and pod.lines[0].at < pod.told_at),
            "last_state": pod.lines[-1].state if pod.lines else None,
            "last_line_after_told": round(pod.lines[-1].at - pod.told_at, 1)
            if pod.lines and pod.told_at
            else None,
        }
        for pod in record.pods.values()
        if 137 in pod.exit_codes
    ]
    return {
        "exit_codes": codes,
        "killed": killed,
        "restarts": sum(pod.restarts for pod in record.pods.values()),
        "cut": sum(pod.lines[-1].cut for pod in record.pods.values() if pod.lines),
    }
