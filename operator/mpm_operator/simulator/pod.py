"""One pod of the model: slots, one queue, and what its supervisor does by itself."""

from __future__ import annotations

from collections import deque
from math import ceil, inf
from typing import TYPE_CHECKING

from mpm_operator.core.snapshot import PodPhase, PodState, Report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mpm_operator.core.effective import Effective

# The supervisor's own rules; the figures are those of `mpm_worker.burst`, `.drain` and `.supervisor`.

BUSY_LOOK = 0.05
"""Seconds between two looks of a saturated supervisor at its queue."""

BURST_PERIOD = 0.25
"""Seconds between two moments at which a saturated supervisor decides about threads."""

BURST_CPU_SHARE = 0.8
"""Share of the CPU quota above which more threads would not help."""

CALM_SECONDS = 30.0
"""A burst ends after this long without need of its threads."""

QUIET_SECONDS = 2.0
"""The door of a pod that ends shuts after so long without a new connection, once the drain delay is over."""

PATIENT_SECONDS = 30.0
"""The longest that quiet is waited for; half of the graceful timeout where that is less."""

SETTLE_SECONDS = 0.2
"""From the door that shuts until the processes are told to finish."""


class MeasuredReport(Report, frozen=True):
    """A scoreboard line and one thing no scoreboard has, for autoscalers that measure in a proxy."""

    in_flight_s: float = 0.0
    """Cumulative: requests in the pod, queued ones included, times seconds."""


class Pod:
    """State of one simulated pod. Times are None as long as the moment has not come."""

    __slots__ = (
        "_accept_until", "_arrived", "_arrived_at", "_asked", "_decided_at", "_processes", "_settings",
        "_shut_at", "_shut_by", "accesses", "bursting", "busy", "busy_s", "ceiling", "connections", "cost",
        "cost_at", "created_at", "deadline", "eased_at", "easing", "ended_at", "gone_at", "in_endpoints",
        "in_sum", "index", "limit", "load", "name", "needed_at", "out_sum", "overflows", "queue", "queued_at",
        "quiesced_at", "quiesced_until", "ready_at", "report", "saturated_at", "sequence", "slots", "step",
        "terminated_at", "threads", "told_full",
    )  # fmt: skip

    def __init__(self, index: int, created_at: float, effective: Effective) -> None:
        self.index = index
        self.name = f"pod-{index:05d}"
        self.created_at = created_at
        self.ready_at: float | None = None
        self.quiesced_at: float | None = None
        self.quiesced_until = 0.0
        self.terminated_at: float | None = None
        self.ended_at: float | None = None
        """When its processes were gone; it counts until its object is, at `gone_at`."""
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
        self.needed_at = 0.0
        self._decided_at = -inf
        self.saturated_at = self.queued_at = self.eased_at = -inf
        """When a line was last sent for each of these edges."""
        self.told_full = self.easing = False
        """The last line showed no idle slot; the line that takes it back is under way."""
        self._arrived, self._arrived_at = 0, -inf
        self._accept_until = self._shut_by = self.deadline = 0.0
        self._shut_at: float | None = None

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

    @property
    def cpus(self) -> int:
        """CPUs it can use at most: one a server (the interpreter's lock)."""
        return self._processes

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
            # Unlike slot time, CPU shows before a request is complete: half of it on average.
            cpu_ms=round((self.accesses + self.busy / 2) * cpu_s * 1000),
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

    def full(self, now: float) -> None:
        """Note that the last idle slot was taken: the supervisor looks, and decides if its period is over."""
        if now - self._decided_at >= BURST_PERIOD:
            self._decided_at = now

    def decides_at(self, now: float) -> float:
        """Return when the supervisor, which has been saturated since `full`, decides about threads next."""
        periods = max(1, ceil((now - self._decided_at) / BURST_PERIOD))
        return max(now, self._decided_at + periods * BURST_PERIOD)

    def burst(self, now: float) -> None:
        """Add threads as the supervisor does: 1, 2, 4, ... as long as the queue stands, or all that wait."""
        self._decided_at = now
        self._resize(self.threads + max(self.step, -(-len(self.queue) // self._processes)))
        self.step *= 2

    def calm_down(self, now: float) -> None:
        """Give up the threads of a burst after a while without need of them."""
        if self.queue or self.busy > self._asked * self._processes:
            self.needed_at = now
        if self.threads > self._asked and now - self.needed_at >= CALM_SECONDS:
            self._resize(self._asked)

    # The end, as `mpm_worker.drain` has it

    def hear_arrivals(self, now: float) -> None:
        """Look whether anybody came since the last look; a request stands for a connection."""
        arrived = self.accesses + self.load
        if arrived != self._arrived:
            self._arrived, self._arrived_at = arrived, now

    def terminate(self, now: float, delay: float, grace: float) -> float:
        """Begin to end; return until when it accepts at least (`delay` and `grace` in seconds)."""
        self.terminated_at = now
        if self.ready_at is None:
            # What was never in the endpoints gets no late connection to wait for.
            self._accept_until = self._shut_by = self.deadline = now
            return now
        # Who was quiesced for longer than the delay has had it already; without one nobody is waited for.
        self._accept_until = max(now, (now if self.quiesced_at is None else self.quiesced_at) + delay)
        self._shut_by = self._accept_until + (min(grace / 2, PATIENT_SECONDS) if delay else 0.0)
        self.deadline = self._accept_until + grace
        return self._accept_until

    def is_over(self, now: float) -> bool:
        """Whether its processes may go: the door is shut and the last request done, or time is up."""
        if now >= self.deadline:
            return True
        quiet = now - self._arrived_at >= QUIET_SECONDS and not self.queue
        if self._shut_at is None and (now >= self._shut_by or (now >= self._accept_until and quiet)):
            self._shut_at = now
        # A hair less, or a look at just this moment would miss it by the rounding of its time.
        return self._shut_at is not None and now - self._shut_at >= SETTLE_SECONDS - 1e-6 and not self.load

    def _resize(self, threads: int) -> None:
        self.threads = min(threads, self.ceiling)
        self.slots = self.threads * self._processes
