"""From caches and streams to the planner's `Snapshot` of one WebServer.

Kubernetes' timestamps are wall time in whole seconds; each is turned once into the planner's monotonic clock,
when the object is first seen, so that a jump of the wall clock later moves nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from mpm_operator.core.snapshot import Pod, PodPhase, PodState, Snapshot

from . import trouble
from .resources import (
    AUTOSCALERS,
    DELETION_COST,
    DEPLOYMENTS,
    GENERATION_ANNOTATION,
    PODS,
    SLICES,
    Key,
    condition_of,
    name_of,
    uid_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mpm_operator.core.directives import Effective
    from mpm_operator.core.memory import Memory
    from mpm_operator.core.snapshot import Report
    from mpm_operator.core.spec import WebServerSpec

    from .caches import Caches
    from .resources import Object

CONTAINER = "worker"


@dataclass(slots=True)
class _Sighting:
    """When things about one pod were first seen, in the planner's clock."""

    created_at: float
    ready_at: float | None = None
    cost: int = 0
    cost_at: float | None = None
    rest: _Rest | None = None


class _Rest(NamedTuple):
    """A ready pod, and what it was made of but its report; cached objects are replaced, never changed."""

    body: Object
    template: Object
    endpoint: _Endpoint
    pod: Pod


class _Endpoint(NamedTuple):
    ready: bool
    zone: str


NOT_THERE = _Endpoint(False, "")


class Observer:
    """Remembers first sightings; everything else is read from the caches each time."""

    def __init__(
        self,
        caches: Caches,
        report: Callable[[str], Report | None],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._caches = caches
        self._report = report
        self._clock = clock
        self._wall = wall
        self._sightings: dict[Key, dict[str, _Sighting]] = {}
        self._asked_at: dict[Key, float] = {}
        self._endpoints: dict[Key, tuple[tuple[Object, ...], dict[str, _Endpoint]]] = {}
        """What was read last, and of which EndpointSlices: they change only when pods come and go."""

    def snapshot(
        self,
        key: Key,
        server: Object,
        spec: WebServerSpec,
        effective: Effective,
        memory: Memory,
        deployment: Object | None,
        rolled_back: str = "",
        *,
        in_force: bool = True,
    ) -> Snapshot:
        """Return what is there of the WebServer now; `deployment` = None for one that is just being made.

        in_force: whether `effective` is what the Deployment's template was made for. Else no pod is current:
            none gets what may be another MPM's.
        """
        bodies = [body for body in self._caches[PODS].of(key) if not _over(body)]
        known = self._sightings.setdefault(key, {})
        for uid in known.keys() - {uid_of(body) for body in bodies}:
            del known[uid]
        endpoints = self._endpoints_of(key)
        template = ((deployment or {}).get("spec") or {}).get("template") or {}
        pods = [self._pod(body, known, endpoints, template) for body in bodies]
        if deployment is not None:
            pods += self._asked(key, deployment, pods)
        rolling = deployment is not None and _rolling(deployment, pods)
        if not in_force:
            pods = [replace(pod, current=False) for pod in pods]
        status = server.get("status") or {}
        return Snapshot(
            effective=effective,
            pods=tuple(pods),
            replicas=replicas_of(deployment) if deployment is not None else None,
            memory=memory,
            desired_before=status.get("desiredReplicas"),
            manual_replicas=spec.replicas,
            rolling=rolling,
            surge=_surge(deployment) if deployment is not None else 0,
            paused=spec.paused,
            foreign_scaler=self.foreign_scaler(key),
            namespace=key.namespace,
            name=key.name,
            rolled_back=rolled_back,
        )

    def foreign_scaler(self, key: Key) -> str:
        """Return who else scales our Deployment, or nothing. One that scales the WebServer is welcome."""
        for body in self._caches[AUTOSCALERS].of(key):
            if body["spec"]["scaleTargetRef"].get("kind") != DEPLOYMENTS.kind:
                continue
            owners = body["metadata"].get("ownerReferences") or ()
            # KEDA scales through an autoscaler of its own; its ScaledObject is what people know.
            keda = next((owner["name"] for owner in owners if owner.get("kind") == "ScaledObject"), None)
            return f"ScaledObject/{keda}" if keda else f"{AUTOSCALERS.kind}/{name_of(body)}"
        return ""

    def troubles(self, key: Key) -> list[str]:
        """Return why pods cannot start, in Kubernetes' words, each once."""
        known = self._sightings.get(key, {})
        words = set()
        for body in self._caches[PODS].of(key):
            seen = known.get(uid_of(body)) or _Sighting(self._clock())
            words.add(_phase(body, seen, self._report(uid_of(body)))[1])
        return sorted(words - {""})

    def report(self, pod: Object) -> Report | None:
        """Return what the pod said of itself last."""
        return self._report(uid_of(pod))

    def forget(self, key: Key) -> None:
        self._sightings.pop(key, None)
        self._asked_at.pop(key, None)
        self._endpoints.pop(key, None)

    def _endpoints_of(self, key: Key) -> dict[str, _Endpoint]:
        slices = tuple(self._caches[SLICES].of(key))
        known = self._endpoints.get(key)
        if known is None or known[0] != slices:
            known = self._endpoints[key] = (slices, _endpoints(slices))
        return known[1]

    def _pod(
        self, body: Object, known: dict[str, _Sighting], endpoints: dict[str, _Endpoint], template: Object
    ) -> Pod:
        meta, uid = body["metadata"], uid_of(body)
        seen = known.get(uid)
        if seen is None:
            seen = known[uid] = _Sighting(self._monotonic(meta.get("creationTimestamp")))
        report, endpoint = self._report(uid), endpoints.get(uid, NOT_THERE)
        rest = seen.rest
        if rest is not None and rest.body is body and rest.template is template and rest.endpoint == endpoint:
            return replace(rest.pod, report=report)
        ready = condition_of(body, "Ready")
        if ready.get("status") == "True" and seen.ready_at is None:
            seen.ready_at = self._monotonic(ready.get("lastTransitionTime"))
        cost = int((meta.get("annotations") or {}).get(DELETION_COST) or 0)
        if cost != seen.cost:
            seen.cost, seen.cost_at = cost, self._clock() if cost else None
        phase, why = _phase(body, seen, report)
        pod = Pod(
            name=meta["name"],
            phase=phase,
            created_at=seen.created_at,
            ready_at=seen.ready_at,
            report=report,
            current=_current(body, template),
            in_endpoints=endpoint.ready,
            zone=endpoint.zone,
            deletion_cost=cost,
            deletion_cost_at=seen.cost_at,
            restarts=int(_container(body).get("restartCount") or 0),
            trouble=why,
        )
        seen.rest = _Rest(body, template, endpoint, pod) if phase is PodPhase.READY else None
        return pod

    def _asked(self, key: Key, deployment: Object, pods: list[Pod]) -> list[Pod]:
        """Return the pods that the Deployment was asked for and that nobody has seen yet (decision 14)."""
        missing = replicas_of(deployment) - sum(pod.phase != PodPhase.TERMINATING for pod in pods)
        if missing <= 0:
            self._asked_at.pop(key, None)
            return []
        at = self._asked_at.setdefault(key, self._clock())
        refused = condition_of(deployment, "ReplicaFailure")
        failed = refused.get("status") == "True"
        return [
            Pod(
                name=f"{key.name}-asked-{number}",
                phase=PodPhase.FAILED if failed else PodPhase.STARTING,
                created_at=at,
                trouble=f"{refused.get('reason')}: {refused.get('message')}" if failed else "",
            )
            for number in range(missing)
        ]

    def _monotonic(self, timestamp: str | None) -> float:
        now = self._clock()
        if not timestamp:
            return now
        return now - max(0.0, self._wall() - datetime.fromisoformat(timestamp).timestamp())


def replicas_of(deployment: Object) -> int:
    """Return how many pods the Deployment asks for (Kubernetes' default is 1)."""
    replicas = deployment["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def deletion_cost_of(pod: Object) -> int:
    return int((pod["metadata"].get("annotations") or {}).get(DELETION_COST) or 0)


def _over(pod: Object) -> bool:
    """Return whether the pod has ended for good; a ReplicaSet counts it no more."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _container(pod: Object) -> Object:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((status for status in statuses if status["name"] == CONTAINER), {})


def _phase(pod: Object, seen: _Sighting, report: Report | None) -> tuple[PodPhase, str]:
    """Return the pod's phase, and in Kubernetes' words why it is not further.

    | deleted | waiting for ever | Ready | was ready or quiesces | phase       |
    | ------- | ---------------- | ----- | --------------------- | ----------- |
    | yes     |                  |       |                       | Terminating |
    | no      | yes              |       |                       | Failed      |
    | no      | no               | yes   |                       | Ready       |
    | no      | no               | no    | yes                   | Unready     |
    | no      | no               | no    | no                    | Starting    |
    """
    if pod["metadata"].get("deletionTimestamp"):
        return PodPhase.TERMINATING, ""
    container = _container(pod)
    waiting = (container.get("state") or {}).get("waiting") or {}
    if waiting.get("reason") in trouble.CANNOT_START:
        return PodPhase.FAILED, trouble.of_waiting(container)
    if condition_of(pod, "Ready").get("status") == "True":
        return PodPhase.READY, ""
    drained = report is not None and report.state in (PodState.QUIESCING, PodState.DRAINED)
    if container.get("started") and (seen.ready_at is not None or drained):
        return PodPhase.UNREADY, ""
    scheduled = condition_of(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return PodPhase.STARTING, f"{scheduled.get('reason')}: {scheduled.get('message')}"
    return PodPhase.STARTING, trouble.of_starting(container)


def _current(pod: Object, template: Object) -> bool:
    """Return whether the pod was made from this template, as far as the operator rolls it out."""
    wanted = ((template.get("metadata") or {}).get("annotations") or {}).get(GENERATION_ANNOTATION)
    have = (pod["metadata"].get("annotations") or {}).get(GENERATION_ANNOTATION)
    grace = (template.get("spec") or {}).get("terminationGracePeriodSeconds")
    return bool(wanted == have and grace == pod["spec"].get("terminationGracePeriodSeconds"))


def _rolling(deployment: Object, pods: list[Pod]) -> bool:
    status = deployment.get("status") or {}
    if int(status.get("updatedReplicas") or 0) < int(status.get("replicas") or 0):
        return True
    return any(not pod.current and pod.phase != PodPhase.TERMINATING for pod in pods)


def _surge(deployment: Object) -> int:
    """Return maxSurge in pods; a percentage is rounded up, as the Deployment controller does."""
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    surge = rolling.get("maxSurge", 0)
    if isinstance(surge, int):
        return surge
    return -(-replicas_of(deployment) * int(str(surge).rstrip("%")) // 100)


def _endpoints(slices: Iterable[Object]) -> dict[str, _Endpoint]:
    """Return the endpoints by pod UID; a condition that nobody knows counts as ready, as for a proxy."""
    found: dict[str, _Endpoint] = {}
    for body in slices:
        for endpoint in body.get("endpoints") or ():
            uid = (endpoint.get("targetRef") or {}).get("uid", "")
            ready = (endpoint.get("conditions") or {}).get("ready") is not False
            before = found.get(uid, NOT_THERE)
            found[uid] = _Endpoint(ready or before.ready, endpoint.get("zone") or before.zone)
    return found
