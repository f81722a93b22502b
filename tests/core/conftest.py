"""A small world for the planner: pods start, serve, drain and end in virtual time; controls get lost."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec.structs import replace

from mpm_operator.core.directives import Effective, normalise
from mpm_operator.core.flow import listen
from mpm_operator.core.memory import Memory, fresh
from mpm_operator.core.plan import VICTIM_COST, Control, Plan
from mpm_operator.core.planner import plan
from mpm_operator.core.snapshot import Pod, PodPhase, PodState, Report, Snapshot
from mpm_operator.core.spec import WebServerSpec

if TYPE_CHECKING:
    from collections.abc import Callable


SETTINGS = {
    "timeoutSeconds": 60,
    "keepAlive": True,
    "keepAliveTimeoutSeconds": 5,
    "maxKeepAliveRequests": 100,
    "limitRequestBodyBytes": 1_073_741_824,
    "maxConnectionsPerChild": 0,
    "gracefulShutdownTimeoutSeconds": 60,
    "asyncRequestWorkerFactor": 2,
}
"""Settings of every pod: those that the directives ask for when they are left out."""


def effective_of(mpm: dict[str, Any] | None = None, **scaling: int) -> Effective:
    document = {"app": {"module": "shop:app"}, "mpm": mpm or {}, "scaling": scaling}
    return normalise(msgspec.convert(document, WebServerSpec))[0]


@dataclass(eq=False)
class WorldPod:
    """One pod with its supervisor; requests are a fluid, so that a test says exactly how much there is."""

    name: str
    created_at: float
    ready_after: float
    threads: int
    ceiling: int
    servers: int
    thread_limit: int
    state: PodState = PodState.STARTING
    phase: PodPhase = PodPhase.STARTING
    in_endpoints: bool = False
    ready_at: float | None = None
    quiesced_at: float = 0.0
    cost: int = 0
    cost_at: float | None = None
    busy: int = 0
    queue: int = 0
    accesses: float = 0.0
    busy_ms: float = 0.0
    sequence: int = 0
    ends_at: float = 0.0
    silent: bool = False
    last: Report | None = None

    @property
    def limit(self) -> int:
        """Slots that the supervisor may have."""
        return self.servers * self.ceiling

    @property
    def total(self) -> int:
        """Slots it has: burst threads as long as requests wait."""
        soft = self.servers * min(self.threads, self.ceiling)
        return max(soft, min(self.limit, self.busy + self.queue))

    def report(self, now: float) -> Report:
        total = self.total
        return Report(
            at=now, boot=self.name, state=self.state, servers=self.servers,
            threads_per_child=-(-total // self.servers), threads_ceiling=self.ceiling,
            busy=self.busy, idle=max(0, total - self.busy) if self.state is PodState.SERVING else 0,
            total=total, queue=self.queue, backlog_limit=511, overflows=0, connections=self.busy,
            keep_alive=0, accesses=int(self.accesses), busy_ms=int(self.busy_ms), cpu_ms=0, cpu_quota=1.0,
            throttled_ms=0, rss=0, memory_limit=0,
            settings={**SETTINGS, "threadsPerChild": self.threads, "processes": self.servers},
            sequence=self.sequence,
        )  # fmt: skip


@dataclass
class World:
    """A Deployment, its pods and the executor; `step` is one plan and the time until the next."""

    effective: Effective
    startup: float = 2.0
    service: float = 0.1
    lost: float = 0.0
    """Share of the control calls that never arrive."""
    delay: float = 0.0
    """Longest delay of a control call, in seconds."""
    seed: int = 1
    now: float = 1000.0
    replicas: int | None = None
    pods: list[WorldPod] = field(default_factory=list)
    load: float = 0.0
    """Slots that requests want at this moment: what does not fit waits, and is gone when load falls."""
    memory: Memory = field(init=False)
    seen: Snapshot = field(init=False)
    """What the last plan was made from."""
    extra: dict[str, Any] = field(default_factory=dict)
    late: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    plans: list[tuple[float, Plan]] = field(default_factory=list)
    writes: int = 0
    controls: int = 0
    born: int = 0
    cut: int = 0
    """Requests on pods that were told to end."""

    def __post_init__(self) -> None:
        self.memory = fresh(self.now)
        self.dice = random.Random(self.seed)

    # What can be seen.

    @property
    def last(self) -> Plan:
        return self.plans[-1][1]

    @property
    def living(self) -> list[WorldPod]:
        return [pod for pod in self.pods if pod.phase is not PodPhase.TERMINATING]

    @property
    def accepting(self) -> list[WorldPod]:
        return [p for p in self.pods if p.phase is PodPhase.READY and p.state is PodState.SERVING]

    @property
    def most_slots(self) -> int:
        """Slots that there can be at this moment: ceilings of all pods, starting and ending ones included."""
        return sum(max(pod.limit, pod.total) for pod in self.pods)

    def snapshot(self) -> Snapshot:
        seen = tuple(
            Pod(
                name=pod.name, phase=pod.phase, created_at=pod.created_at, ready_at=pod.ready_at,
                report=pod.last, in_endpoints=pod.in_endpoints,
                deletion_cost=pod.cost, deletion_cost_at=pod.cost_at,
            )
            for pod in self.pods
        )  # fmt: skip
        return replace(
            Snapshot(effective=self.effective, pods=seen, replicas=self.replicas, memory=self.memory),
            **self.extra,
        )

    # What happens.

    def step(self, seconds: float = 1.0) -> Plan:
        self._live()
        self.seen = self.snapshot()
        decided = plan(self.seen, self.now)
        assert decided.memory is not None
        self.memory = decided.memory
        self.plans.append((self.now, decided))
        if not self.extra.get("paused"):
            self._execute(decided)
            self._replica_set(self.replicas or 0)
        self.now += seconds
        self._serve(seconds)
        return decided

    def run(self, seconds: float, *, every: float = 1.0) -> None:
        for _ in range(round(seconds / every)):
            self.step(every)

    def _live(self) -> None:
        for at, call in sorted(self.late, key=lambda entry: entry[0]):
            if at <= self.now:
                call()
        self.late = [entry for entry in self.late if entry[0] > self.now]
        for pod in list(self.pods):
            if pod.phase is PodPhase.STARTING and self.now - pod.created_at >= pod.ready_after:
                pod.phase, pod.state, pod.in_endpoints = PodPhase.READY, PodState.SERVING, True
                pod.ready_at = self.now
            quiesced = pod.state in (PodState.QUIESCING, PodState.DRAINED)
            if quiesced and self.now - pod.quiesced_at >= 1.0:
                pod.in_endpoints = False
                if pod.phase is PodPhase.READY:
                    pod.phase = PodPhase.UNREADY
            if not quiesced and pod.phase is PodPhase.UNREADY:
                pod.phase, pod.in_endpoints = PodPhase.READY, True
            if pod.state is PodState.QUIESCING and pod.busy == 0 and not pod.in_endpoints:
                pod.state = PodState.DRAINED
            if pod.phase is PodPhase.TERMINATING and self.now >= pod.ends_at:
                self.pods.remove(pod)
        self._spread()
        for pod in self.pods:
            if pod.state is not PodState.STARTING and not pod.silent:
                pod.last = listen(pod.report(self.now), pod.last)

    def _replica_set(self, replicas: int) -> None:
        living = self.living
        for _ in range(replicas - len(living)):
            self.born += 1
            e = self.effective
            self.pods.append(
                WorldPod(
                    f"shop-{self.born}",
                    self.now,
                    self.startup * self.dice.uniform(0.8, 1.2),
                    e.threads_per_child,
                    e.threads_per_child,
                    e.processes_per_pod,
                    e.thread_limit,
                )
            )  # fmt: skip
        order = {PodPhase.STARTING: 0, PodPhase.FAILED: 1, PodPhase.UNREADY: 1, PodPhase.READY: 2}
        living.sort(key=lambda pod: (order[pod.phase], pod.cost, -pod.created_at))
        for pod in living[: max(0, len(living) - replicas)]:
            self.cut += pod.busy
            pod.phase, pod.in_endpoints, pod.ends_at = PodPhase.TERMINATING, False, self.now + 2.0
            pod.state = PodState.STOPPING

    def _spread(self) -> None:
        open_pods = [pod for pod in self.pods if pod.phase is PodPhase.READY and pod.in_endpoints]
        open_pods = [pod for pod in open_pods if pod.state is PodState.SERVING]
        for pod in self.pods:
            pod.queue = 0
            pod.busy = 0
        left = round(self.load)
        for index, pod in enumerate(open_pods):
            share = left // (len(open_pods) - index)
            left -= share
            pod.busy = min(share, pod.limit)
            pod.queue = share - pod.busy

    def _serve(self, seconds: float) -> None:
        for pod in self.pods:
            pod.accesses += pod.busy * seconds / self.service
            pod.busy_ms += pod.busy * seconds * 1000

    def _execute(self, decided: Plan) -> None:
        by_name = {pod.name: pod for pod in self.pods}
        for control in decided.lower:
            self._control(by_name[control.pod], control)
        for name in decided.resume:
            self._call(by_name[name], self._resume)
        for name in decided.quiesce:
            # A pod that looks for a moment without a request finds it at once or not at all.
            if name not in decided.patient or by_name[name].busy + by_name[name].queue == 0:
                self._call(by_name[name], self._quiesce)
        for name in decided.victims:
            if by_name[name].cost == 0:
                by_name[name].cost, by_name[name].cost_at = VICTIM_COST, self.now
                self.writes += 1
        for name in decided.pardoned:
            by_name[name].cost, by_name[name].cost_at = 0, None
            self.writes += 1
        if decided.replicas != self.replicas:
            self.replicas = decided.replicas
            self.writes += 1
        for control in decided.controls:
            self._control(by_name[control.pod], control)

    def _call(self, pod: WorldPod, call: Callable[[WorldPod], None]) -> None:
        self.controls += 1
        number = self.controls

        def arrive() -> None:
            if number > pod.sequence:
                pod.sequence = number
                call(pod)

        if self.dice.random() < self.lost:
            return
        if self.delay:
            self.late.append((self.now + self.dice.uniform(0, self.delay), arrive))
        else:
            arrive()

    def _resume(self, pod: WorldPod) -> None:
        if pod.state in (PodState.QUIESCING, PodState.DRAINED):
            pod.state = PodState.SERVING

    def _quiesce(self, pod: WorldPod) -> None:
        if pod.state is PodState.SERVING:
            pod.state, pod.quiesced_at = PodState.QUIESCING, self.now

    def _control(self, pod: WorldPod, control: Control) -> None:
        def put(pod: WorldPod) -> None:
            changes = control.changes
            pod.threads = int(changes.get("threadsPerChild", pod.threads))
            pod.ceiling = int(changes.get("threadsCeiling", pod.ceiling))
            pod.servers = int(changes.get("processes", pod.servers))
            assert 1 <= pod.threads <= pod.ceiling <= pod.thread_limit

        self._call(pod, put)


@pytest.fixture(scope="session")
def effective() -> Callable[..., Effective]:
    return effective_of


@pytest.fixture(scope="session")
def world() -> Callable[..., World]:
    """Make a world from the directives and the model's own parameters."""

    def make(mpm: dict[str, Any] | None = None, scaling: dict[str, int] | None = None, **model: Any) -> World:
        return World(effective_of(mpm, **(scaling or {})), **model)

    return make
