"""Other autoscalers by their published formulas, in the shape of our planner, for the simulator.

Each states its source. They see what they would see: means over their own windows, at their own periods, and
they have no word with the pods: the ReplicaSet chooses who goes. `peers/` runs the real code of two of them.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mpm_operator.core.effective import Band
from mpm_operator.core.maintenance import Pool, Spawn, maintain
from mpm_operator.core.plan import Decision, Plan
from mpm_operator.core.snapshot import PodPhase
from mpm_operator.simulator.pod import MeasuredReport

if TYPE_CHECKING:
    from mpm_operator.core.snapshot import Pod, Snapshot

HTTPD_BAND = Band(75, 250)


def answer(pods: int, snapshot: Snapshot, reason: str) -> Plan:
    """Return the plan that asks for `pods`, within what the directives allow."""
    least = snapshot.effective.min_replicas
    wanted = max(least, min(snapshot.effective.max_pods, pods))
    return Plan(desired=wanted, replicas=wanted, decision=Decision(reason, ""))


def ready(snapshot: Snapshot) -> list[Pod]:
    """Return the pods in the endpoints."""
    return [pod for pod in snapshot.pods if pod.phase is PodPhase.READY and pod.report is not None]


def ordered(snapshot: Snapshot) -> int:
    """Return the replicas there are: all that were not told to end."""
    return sum(pod.phase is not PodPhase.TERMINATING for pod in snapshot.pods)


@dataclass(slots=True)
class Every:
    """A beat of so many seconds, on whole multiples of them, however often and irregularly it is asked."""

    seconds: float
    beat: int = -1

    def is_due(self, now: float) -> bool:
        """Return whether a beat has passed since this was last true."""
        beat = int(now / self.seconds + 1e-6)
        due, self.beat = beat > self.beat, beat
        return due

    @property
    def last(self) -> float:
        """Time of the last beat, exactly."""
        return self.beat * self.seconds


@dataclass(slots=True)
class Meter:
    """Means since the last look, from cumulative counters, summed over the pods that serve."""

    before: dict[str, tuple[float, float]] = field(default_factory=dict)
    in_flight_pods: dict[str, float] = field(default_factory=dict)
    """Requests inside, waiting ones included, of each pod."""
    busy_pods: dict[str, float] = field(default_factory=dict)
    """Slots at work, of each pod: clipped at what it has."""

    @property
    def in_flight(self) -> float:
        """Requests inside all pods."""
        return sum(self.in_flight_pods.values())

    @property
    def busy(self) -> float:
        """Slots at work in all pods."""
        return sum(self.busy_pods.values())

    def look(self, snapshot: Snapshot) -> None:
        """Take the means since the last call; call it once a second."""
        self.in_flight_pods, self.busy_pods = {}, {}
        now: dict[str, tuple[float, float]] = {}
        for pod in snapshot.pods:
            report = pod.report
            if not isinstance(report, MeasuredReport) or pod.phase is PodPhase.TERMINATING:
                continue
            at, before = self.before.get(pod.name, (pod.ready_at or 0.0, 0.0))
            now[pod.name] = (report.at, report.in_flight_s)
            mean = (
                (report.in_flight_s - before) / (report.at - at)
                if report.at > at
                else report.busy + report.queue
            )
            self.in_flight_pods[pod.name] = mean
            self.busy_pods[pod.name] = min(mean, report.total)
        self.before = now


@dataclass(slots=True)
class Window:
    """A mean over the last `seconds`, of one value a second; while it fills, over what there is."""

    seconds: int
    values: deque[float] = field(default_factory=deque)

    def add(self, value: float) -> float:
        """Add the value of this second and return the mean."""
        self.values.append(value)
        while len(self.values) > self.seconds:
            self.values.popleft()
        return sum(self.values) / len(self.values)


class KPA:
    """Knative's pod autoscaler: serving v0.42, pkg/autoscaler/scaling, defaults of config-autoscaler.

    Concurrency as a queue-proxy counts it (requests inside, waiting ones included), means over 60 s and 6 s,
    a tick every 2 s, panic at 200 % for 60 s, up by at most 1000 times, down by at most half.
    """

    def __init__(self, target: float = 0.7) -> None:
        self.target = target
        self.meter, self.stable, self.panic = Meter(), Window(60), Window(6)
        self.second, self.tick = Every(1), Every(2)
        self.panic_since: float | None = None
        self.most = 0
        self.wanted: int | None = None

    def __call__(self, snapshot: Snapshot, now: float) -> Plan:
        """Answer like the decider of the revision."""
        if self.second.is_due(now):
            self.meter.look(snapshot)
            self.stable.add(self.meter.in_flight)
            self.panic.add(self.meter.in_flight)
        if self.wanted is None:
            self.wanted = snapshot.effective.start_pods
        elif self.tick.is_due(now) and ready(snapshot):
            self.wanted = self._tick(snapshot, now)
        return answer(self.wanted, snapshot, "KPA")

    def _tick(self, snapshot: Snapshot, now: float) -> int:
        pods = max(1, len(ready(snapshot)))
        per_pod = self.target * snapshot.effective.slots_per_pod
        up, down = math.ceil(1000 * pods), pods // 2

        def wish(window: Window) -> tuple[int, int]:
            raw = math.ceil(sum(window.values) / len(window.values) / per_pod)
            return raw, min(max(raw, down), up)

        _, stable = wish(self.stable)
        raw, panic = wish(self.panic)
        over = raw / pods >= 2.0
        if over:
            self.panic_since = now
        elif self.panic_since is not None and self.panic_since + 60 < now:
            self.panic_since, self.most = None, 0
        if self.panic_since is None:
            return stable
        self.most = max(self.most, stable, panic)
        return self.most


class HPA:
    """The HorizontalPodAutoscaler: Kubernetes 1.34, pkg/controller/podautoscaler, behaviour defaults.

    A sync every 15 s; tolerance 10 %; up to 4 or to twice the pods at once, down to the highest wish of
    the last 300 s. `metric`: `busy` = busy slots, sampled by Prometheus every `lag` seconds (their mean over
    the last second); `in-flight` = requests inside, waiting ones included (KEDA's HTTP add-on).
    `total`: an external AverageValue, as KEDA asks for: ceil(total / target); else a mean over ready pods.
    """

    def __init__(
        self, target: float = 0.7, *, metric: str = "busy", total: bool = False, lag: float = 15.0
    ) -> None:
        self.target, self.metric, self.total = target, metric, total
        self.meter = Meter()
        self.second, self.scrape, self.sync = Every(1), Every(lag), Every(15)
        self.scraped: tuple[float, int] | None = None
        self.wishes: deque[tuple[float, int]] = deque()
        self.wanted: int | None = None

    def __call__(self, snapshot: Snapshot, now: float) -> Plan:
        """Answer like the controller between two syncs: as before."""
        if self.second.is_due(now):
            self.meter.look(snapshot)
        if self.scrape.is_due(now) and ready(snapshot):
            value = self.meter.busy if self.metric == "busy" else self.meter.in_flight
            self.scraped = (value, len(ready(snapshot)))
        if self.wanted is None:
            self.wanted = snapshot.effective.start_pods
        elif self.sync.is_due(now) and self.scraped is not None:
            self.wanted = self._sync(snapshot, now)
        return answer(self.wanted, snapshot, "HPA")

    def _sync(self, snapshot: Snapshot, now: float) -> int:
        current = ordered(snapshot)
        wish = self._wish(snapshot, current)
        self.wishes.append((now, wish))
        while self.wishes[0][0] < now - 300:
            self.wishes.popleft()
        # The highest wish of the window also goes on growing what the limit of one sync held back.
        wish = max(wish for _, wish in self.wishes)
        return min(wish, max(4, 2 * current))

    def _wish(self, snapshot: Snapshot, current: int) -> int:
        assert self.scraped is not None
        value, pods = self.scraped
        per_pod = self.target * snapshot.effective.slots_per_pod
        if self.total:
            ratio = value / (per_pod * current)
            return current if abs(1 - ratio) <= 0.1 else math.ceil(value / per_pod)
        ratio = value / pods / per_pod
        if abs(1 - ratio) <= 0.1:
            return current
        starting = current - pods
        if ratio > 1 and starting > 0:
            # Pods that are not ready count as doing nothing; if that turns the direction, nothing is done.
            ratio = value / current / per_pod
            if ratio <= 1.1:
                return current
            return math.ceil(ratio * current)
        return math.ceil(ratio * pods)


class Fixed:
    """The rule of thumb: pods that keep 70 % of the slots busy, every second; down to the most of 120 s."""

    def __init__(self, target: float = 0.7, window: float = 120.0) -> None:
        self.target, self.window = target, window
        self.meter, self.mean = Meter(), Window(5)
        self.second = Every(1)
        self.wishes: deque[tuple[float, int]] = deque()
        self.wanted: int | None = None

    def __call__(self, snapshot: Snapshot, now: float) -> Plan:
        """Answer once a second."""
        if self.wanted is None:
            self.wanted = snapshot.effective.start_pods
        elif self.second.is_due(now) and ready(snapshot):
            self.meter.look(snapshot)
            load = self.mean.add(self.meter.in_flight)
            wish = math.ceil(load / (self.target * snapshot.effective.slots_per_pod))
            while self.wishes and self.wishes[-1][1] <= wish:
                self.wishes.pop()
            self.wishes.append((now, wish))
            while self.wishes[0][0] < now - self.window:
                self.wishes.popleft()
            self.wanted = self.wishes[0][1]
        return answer(self.wanted, snapshot, "Fixed")


class Apache:
    """httpd's own rule on the idle slots of all pods: MinSpareThreads 75, MaxSpareThreads 250."""

    def __init__(self, band: Band = HTTPD_BAND) -> None:
        self.band, self.spawn = band, Spawn()
        self.second = Every(1)
        self.wanted: int | None = None

    def __call__(self, snapshot: Snapshot, now: float) -> Plan:
        """Answer once a second; a pod that starts counts as idle."""
        if self.wanted is None:
            self.wanted = snapshot.effective.start_pods
        elif self.second.is_due(now):
            slots = snapshot.effective.slots_per_pod
            serving, active = ready(snapshot), ordered(snapshot)
            idle = sum(pod.report.idle for pod in serving if pod.report) + slots * (active - len(serving))
            limit = snapshot.effective.max_pods
            pool = Pool(idle=idle, active=active, total=len(snapshot.pods))
            change, self.spawn = maintain(self.spawn, pool, self.band, limit, limit * 2)
            self.wanted = active + change
        return answer(self.wanted, snapshot, "Apache")
