"""What a reconciliation costs in a fleet at rest: every WebServer of 10 pods is looked at once a second.

The operator is the real one up to its door to the API server: caches, streams' lines, reconciler, planner,
status. Behind the door answers a table in memory, and lines are handed over without sockets (what those cost
is measured by `fleet_streams`), because twenty thousand sockets would measure the sandbox.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from fleet_streams import PODS_PER_WEBSERVER, aggregate, rss_kib

from mpm_operator.kube import operator as operator_module
from mpm_operator.kube.client import Listing
from mpm_operator.kube.operator import Operator
from mpm_operator.kube.options import Options
from mpm_operator.kube.resources import DEPLOYMENTS, PODS, SLICES, WEBSERVERS, Key, Kind, Object
from mpm_operator.kube.scoreboards import _Stream
from mpm_operator.scoreboard import parse

NAMESPACE = "fleet"
BATCH = 50
"""WebServers between two readings of the CPU clock, which is no cheap call everywhere."""
REST_SECONDS, LEAST_ROUNDS = 60.0, 10
"""Until the last status of the beginning is written, which takes five seconds at least."""


class Table:
    """The API server's side: objects by kind and name, each apply merged over what is there."""

    def __init__(self, *_: object) -> None:
        self.objects: dict[tuple[Kind, str, str], Object] = {}
        self.version = 1
        self.writes: dict[str, int] = defaultdict(int)

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self.objects.get((kind, namespace, name))

    async def list(self, kind: Kind, namespace: str = "", selector: str = "") -> Listing:
        return Listing([], self.version)

    async def create(self, kind: Kind, body: Object, *, fenced: bool = True) -> Object:
        return self.put(kind, body)

    async def apply(
        self, kind: Kind, body: Object, *, manager: str = "", subresource: str = "", dry_run: bool = False
    ) -> Object:
        self.writes[f"{kind.plural} {subresource}".strip()] += not dry_run
        return body if dry_run else self.put(kind, body)

    def put(self, kind: Kind, body: Object) -> Object:
        """Merge the object over what is there, and give it a version of its own."""
        meta = body["metadata"]
        place = (kind, meta["namespace"], meta["name"])
        self.version += 1
        stored = _merged(self.objects.get(place, {}), body)
        stored["metadata"] |= {"resourceVersion": str(self.version), "generation": 1}
        stored["metadata"].setdefault("uid", f"uid-{kind.plural}-{meta['name']}")
        self.objects[place] = stored
        return deepcopy(stored)


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: _merged(old.get(key), value) for key, value in new.items()}
    return deepcopy(new)


@dataclass(frozen=True, slots=True)
class Decisions:
    """What looking at every WebServer once took."""

    webservers: int
    pods: int
    micros_a_line: float
    """CPU time of a line without its socket: parser and tally."""
    micros_a_reconciliation: float
    """CPU time of a WebServer of ten pods: snapshot, plan, comparison of the children, status."""
    mib: float
    """Resident memory with the whole fleet known."""
    writes: int
    """API writes of a round: there should be none at rest."""


def measure(webservers: int = 2000, rounds: int = 6) -> Decisions:
    """Build the fleet, let it come to rest, and look at it `rounds` times."""
    with (
        patch.object(operator_module, "connect", lambda: None),
        patch.object(operator_module, "Client", Table),
    ):
        operator: Any = Operator(Options(worker_image="worker:1", identity="bench", lease_namespace="mpm"))
        return asyncio.run(_measure(operator, webservers, rounds))


async def _measure(operator: Any, webservers: int, rounds: int) -> Decisions:
    await operator._keys.load()
    ceilings: dict[str, int] = defaultdict(lambda: 25)

    async def control(uid: str, secrets: object, method: str, path: str, body: dict[str, Any]) -> None:
        ceilings[uid] = body.get("threadsCeiling", ceilings[uid])

    operator._boards.control = control
    keys = [Key(NAMESPACE, f"shop-{number}") for number in range(webservers)]
    for key in keys:
        operator._caches[WEBSERVERS].put(operator._client.put(WEBSERVERS, _webserver(key)))
        await operator._reconciler.reconcile(key)
        _start_pods(operator, key)
    began, number, written = time.monotonic(), 0, 1
    while number < LEAST_ROUNDS or (written and time.monotonic() - began < REST_SECONDS):
        operator._client.writes.clear()
        await _round(operator, keys, ceilings, number)
        written, number = sum(operator._client.writes.values()), number + 1
        await asyncio.sleep(1.0)
    operator._client.writes.clear()
    times = [await _round(operator, keys, ceilings, number + turn) for turn in range(rounds)]
    # The best round counts, for what else the machine does only ever adds.
    hearing, deciding = (min(column) for column in zip(*times, strict=True))
    pods = webservers * PODS_PER_WEBSERVER
    return Decisions(
        webservers,
        pods,
        1e6 * hearing / pods,
        1e6 * deciding / webservers,
        rss_kib() / 1024,
        sum(operator._client.writes.values()) // rounds,
    )


async def _round(
    operator: Any, keys: list[Key], ceilings: dict[str, int], number: int
) -> tuple[float, float]:
    """Hear a line of every pod and look at every WebServer; return the CPU seconds of both."""
    hearing = deciding = 0.0
    boards = operator._boards
    for start in range(0, len(keys), BATCH):
        batch = keys[start : start + BATCH]
        uids = [f"{key.name}-{n}" for key in batch for n in range(PODS_PER_WEBSERVER)]
        lines = [aggregate("0", number + 1, 10, number * 100, ceilings[uid]) for uid in uids]
        began = time.process_time()
        for uid, line in zip(uids, lines, strict=True):
            boards._take(boards._streams[uid], parse(line, time.monotonic()), wake=True)
        heard = time.process_time()
        for key in batch:
            await asyncio.sleep(0)  # as the operator does between two keys
            await operator._reconciler.reconcile(key)
        hearing, deciding = hearing + heard - began, deciding + time.process_time() - heard
    return hearing, deciding


def _webserver(key: Key) -> Object:
    spec = {
        "app": {"module": "app:application"},
        "mpm": {"threadsPerChild": 25, "maxRequestWorkers": 1000},
        "scaling": {"minReplicas": PODS_PER_WEBSERVER},
    }
    return {
        "apiVersion": WEBSERVERS.api_version,
        "kind": WEBSERVERS.kind,
        "metadata": {"name": key.name, "namespace": key.namespace, "labels": {"team": "shop"}},
        "spec": spec,
    }


def _start_pods(operator: Any, key: Key) -> None:
    """Play the controllers: the Deployment's pods run, are ready, and are in the endpoints."""
    caches = operator._caches
    deployment = caches[DEPLOYMENTS].get(key.namespace, key.name)
    count, template = PODS_PER_WEBSERVER, deployment["spec"]["template"]
    status = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), count)
    meta = {"name": key.name, "namespace": key.namespace}
    there = {"metadata": meta, "spec": {"replicas": count}, "status": status}
    caches[DEPLOYMENTS].put(operator._client.put(DEPLOYMENTS, there))
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    endpoints = []
    for number in range(count):
        uid = f"{key.name}-{number}"
        pod = _pod(key, uid, template, now)
        caches[PODS].put(operator._client.put(PODS, pod))
        endpoints.append({"conditions": {"ready": True}, "targetRef": {"uid": uid}, "zone": f"z{number % 3}"})
        # As `follow` would make it, but for the task that reads the socket.
        task: Any = SimpleNamespace(cancel=lambda: None, done=lambda: False)
        operator._boards._streams[uid] = _Stream(uid, key, "127.0.0.1", task)
    slice_meta = meta | {"name": f"{key.name}-x", "labels": template["metadata"]["labels"]}
    caches[SLICES].put(operator._client.put(SLICES, {"metadata": slice_meta, "endpoints": endpoints}))


def _pod(key: Key, uid: str, template: Object, now: str) -> Object:
    ready = [
        {"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("Ready", "PodScheduled")
    ]
    state = {"name": "worker", "started": True, "ready": True, "restartCount": 0}
    owner = {"kind": "ReplicaSet", "name": f"{key.name}-5d9f", "controller": True, "uid": "rs"}
    return {
        "metadata": {
            **template["metadata"],
            "name": uid,
            "namespace": key.namespace,
            "uid": uid,
            "creationTimestamp": now,
            "ownerReferences": [owner],
        },
        "spec": template["spec"] | {"nodeName": "node-1"},
        "status": {
            "phase": "Running",
            "podIP": "127.0.0.1",
            "conditions": ready,
            "containerStatuses": [state],
        },
    }
