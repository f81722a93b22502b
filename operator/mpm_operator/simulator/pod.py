"""One pod of the model: slots, one queue, and what its supervisor does by itself."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpm_operator.core.snapshot import PodPhase, PodState, Report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mpm_operator.core.effective import Effective

# The supervisor's own rule; the figures are those of `mpm_worker.burst` and `mpm_worker.supervisor`.

BUSY_LOOK = 0.05
"""Seconds between two looks of a saturated supervisor at its queue."""

BURST_PERIOD = 0.25
"""Least seconds between two steps of a burst."""

BURST_CPU_SHARE = 0.8
"""Share of the CPU quota above which more threads would not help."""

CALM_SECONDS = 30.0
"""A burst ends after this long without need of its threads."""


@dataclass(frozen=True, slots=True)
class MeasuredReport(Report):
    """A scoreboard line and one thing no scoreboard has, for autoscalers that measure in a proxy."""

    in_flight_s: float = 0.0
    """Cumulative: requests in the pod, queued ones included, times seconds."""


class Pod:
    """State of one simulated pod. Times are None as long as the moment has not come."""

    __slots__ = (
        "_asked", "_processes", "_settings", "accesses", "bursting", "busy", "busy_s", "ceiling",
        "connections", "cost", "cost_at", "created_at", "edge_at", "gone_at", "in_endpoints", "in_sum",
        "index", "limit", "load", "name", "needed_at", "out_sum", "overflows", "queue", "quiesced_at",
        "quiesced_until", "ready_at", "report", "sequence", "slots", "step", "stepped_at", "terminated_at",
        "threads",
    )  # fmt: skip

    def __init__(self, index: int, created_at: float, effective: Effective) -> None:
        self.index = index
        self.name = f"pod-{index:05d}"
        self.created_at = created_at
        self.ready_at: float | None = None
        self.quiesced_at: float | None = None
        self.quiesced_until = 0.0
        self.terminated_at: float | None = None
        self.gone_at: float | None = None
        self.in_endpoints = False
        self.cost = 0
        self.cost_at: float | None = None
        self.report: MeasuredReport | None = None
        self.sequence = 0
        """Control calls so far."""

        self._processes = effective.processes_per_pod
        self._asked = self.threads = self.ceiling = effective.threads_per_child
        self.slots = self.threads * self._processes
        self.limit = effective.listen_backlog
        self._settings: Mapping[str, int | float | bool] = effective.settings
        self.bursting = False
        self.step = 1
        self.needed_at = self.stepped_at = 0.0
        self.edge_at = -1.0

        self.busy = 0
        self.queue: deque[tuple[float, float]] = deque()
        """(arrival, service time) of the requests that wait for a slot."""
        self.load = 0
        """busy + queue"""
        self.connections = 0
        """Kept by clients, idle ones included."""
        self.accesses = 0
        self.overflows = 0
        self.busy_s = 0.0
        self.in_sum = 0.0
        """Sum of the arrival times of all requests; with `out_sum` it gives the integral of `load`."""
        self.out_sum = 0.0

    @property
    def phase(self) -> PodPhase:
        if self.terminated_at is not None:
            return PodPhase.TERMINATING
        if self.ready_at is None:
            return PodPhase.STARTING
        return PodPhase.READY if self.in_endpoints else PodPhase.UNREADY

    @property
    def state(self) -> PodState:
        if self.terminated_at is not None:
            return PodState.STOPPING
        if self.quiesced_at is None:
            return PodState.SERVING
        return PodState.QUIESCING if self.load or self.connections else PodState.DRAINED

    @property
    def accepts(self) -> bool:
        """Neither quiesced nor told to end."""
        return self.quiesced_at is None and self.terminated_at is None

    def scoreboard(self, now: float, cpu_s: float, cpu_quota: float) -> MeasuredReport:
        """Return the aggregate line at `now`; `cpu_s` = CPU time of a request."""
        state = self.state
        total = max(self.busy, self.slots) if state is PodState.SERVING else self.busy
        return MeasuredReport(
            at=now,
            boot=self.name,
            state=state,
            servers=self._processes,
            threads_per_child=self.threads,
            threads_ceiling=self.ceiling,
            busy=self.busy,
            idle=total - self.busy,
            total=total,
            queue=len(self.queue),
            backlog_limit=self.limit,
            overflows=self.overflows,
            connections=max(self.connections, self.load),
            keep_alive=max(0, self.connections - self.load),
            accesses=self.accesses,
            busy_ms=round(self.busy_s * 1000),
            cpu_ms=round(self.accesses * cpu_s * 1000),
            cpu_quota=cpu_quota,
            throttled_ms=0,
            rss=0,
            memory_limit=0,
            settings=self._settings,
            sequence=self.sequence,
            uptime_ms=round((now - self.created_at) * 1000),
            in_flight_s=now * self.load - self.in_sum + self.out_sum,
        )

    def control(self, changes: Mapping[str, int | float | bool]) -> None:
        """Do what `PUT /control` does: take every change, or none of them.

        Raises ValueError for a key that no worker knows.
        """
        unknown = changes.keys() - self._settings.keys() - {"threadsCeiling"}
        if unknown:
            raise ValueError(f"control of {self.name}: {sorted(unknown)} are no settings of a worker")
        self._settings = {**self._settings, **{k: v for k, v in changes.items() if k != "threadsCeiling"}}
        self._processes = int(self._settings["processes"])
        asked = int(self._settings["threadsPerChild"])
        self.ceiling = max(asked, int(changes.get("threadsCeiling", self.ceiling)))
        burst = self.threads > self._asked
        self._asked = asked
        self._resize(max(asked, self.threads) if burst else asked)

    def burst(self, now: float) -> None:
        """Add threads as the supervisor does: 1, 2, 4, ... as long as the queue stands, or all that wait."""
        self.stepped_at = now
        self._resize(self.threads + max(self.step, -(-len(self.queue) // self._processes)))
        self.step *= 2

    def calm_down(self, now: float) -> None:
        """Give up the threads of a burst after a while without need of them."""
        if self.queue or self.busy > self._asked * self._processes:
            self.needed_at = now
        if self.threads > self._asked and now - self.needed_at >= CALM_SECONDS:
            self._resize(self._asked)

    def _resize(self, threads: int) -> None:
        self.threads = min(threads, self.ceiling)
        self.slots = self.threads * self._processes
