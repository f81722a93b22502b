"""What was observed of one WebServer at one moment: the planner's whole input.

Built by `kube/` from its caches and streams and by `local/` from its child processes. Every time in here is
in seconds of one monotonic clock, the clock of the `now` that goes to the planner.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct, field

from .flow import Flow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .directives import Effective
    from .memory import Memory


class PodPhase(StrEnum):
    """Where a pod is in its life, as its owner (the ReplicaSet, the local parent) sees it."""

    STARTING = "Starting"
    """Asked for and not yet ready: pending, pulling, importing; also pods asked for but not seen yet."""
    READY = "Ready"
    """In the endpoints: new connections reach it."""
    UNREADY = "Unready"
    """Was ready once and is not now (quiesced, or broken)."""
    TERMINATING = "Terminating"
    """Told to end; drains."""
    FAILED = "Failed"
    """Cannot start: crash loop, image not found, past its start deadline."""


class PodState(StrEnum):
    """What a pod's supervisor says of itself (`state` of its scoreboard)."""

    STARTING = "Starting"
    SERVING = "Serving"
    QUIESCING = "Quiescing"
    DRAINED = "Drained"
    STOPPING = "Stopping"


class Report(Struct, frozen=True):
    """The last aggregate line of a pod's scoreboard (docs/contracts.md, section 1)."""

    at: float
    """When the operator received it."""
    boot: str
    state: PodState
    servers: int
    threads_per_child: int
    """Threads each server has now, burst included."""
    threads_ceiling: int
    busy: int
    idle: int
    total: int
    queue: int
    """Requests and connections that wait for a slot."""
    backlog_limit: int
    overflows: int
    """Cumulative: connections lost because the accept queue was full."""
    connections: int
    keep_alive: int
    accesses: int
    """Cumulative: requests completed."""
    busy_ms: int
    """Cumulative: slot time spent in requests."""
    cpu_ms: int
    """Cumulative CPU time of the whole pod."""
    cpu_quota: float
    throttled_ms: int
    rss: int
    memory_limit: int
    settings: Mapping[str, int | float | bool] = field(default_factory=dict)
    """Live settings, to be compared with the wanted ones."""
    sequence: int = 0
    uptime_ms: int = 0
    thread_limit: int = 0
    """Most threads a server of this pod can ever have: fixed when it started; 0 = it does not tell."""
    flow: Flow = Flow()
    """What came since the line before; `flow.listen` gives it to a line that comes in."""


class Pod(Struct, frozen=True):
    """One pod, as its owner and its scoreboard show it."""

    name: str
    phase: PodPhase
    created_at: float
    """When it was asked for (start deadlines and learned start-up times count from here)."""
    ready_at: float | None = None
    report: Report | None = None
    """The last line ever received; its age tells whether the pod is silent."""
    current: bool = True
    """Made from the current pod template (httpd's generation)."""
    in_endpoints: bool = False
    """Still listed as ready in an EndpointSlice; victims go only when it is not."""
    zone: str = ""
    deletion_cost: int = 0
    """As seen back in the watch; victims carry `plan.VICTIM_COST`."""
    deletion_cost_at: float | None = None
    """When that cost was first seen in the watch."""
    restarts: int = 0
    trouble: str = ""
    """Why it cannot start, in Kubernetes' words, e.g. `ImagePullBackOff: ...`, `Unschedulable`."""


class Snapshot(Struct, frozen=True):
    """One WebServer: what is wanted (`effective`), what is there, and what the planner remembered."""

    effective: Effective
    pods: tuple[Pod, ...]
    replicas: int | None
    """What the Deployment asks for now; None = there is no Deployment."""
    memory: Memory
    """What the last plan returned."""
    desired_before: int | None = None
    """`status.desiredReplicas` as last written, for a Deployment that was deleted; None = first creation."""
    manual_replicas: int | None = None
    """`spec.replicas`: set by hand or by an HPA."""
    rolling: bool = False
    """A rollout is unfinished."""
    surge: int = 0
    """Pods that the unfinished rollout may have above `replicas`."""
    paused: bool = False
    foreign_scaler: str = ""
    """Name of an HPA or ScaledObject that also writes our replicas, e.g. `HorizontalPodAutoscaler/shop`."""
    namespace: str = ""
    """Where the WebServer is and what it is called, for messages; empty on one machine."""
    name: str = ""
    rolled_back: str = ""
    """Why the last good pod template is back in force, as a sentence; empty = the spec's own is."""
    pooled: bool = False
    """All pods take from one queue (a shared listener, a least-busy balancer); False: connections are dealt
    at random and each pod has a queue of its own."""
