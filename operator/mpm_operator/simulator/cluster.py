"""The model: pods, a balancer in front of them, and the requests that flow through, event by event.

The requests are the hot path: an hour of a busy site is a million of them. They take a loop of their own
(`_serve`) with two kinds of event, arrival and departure; everything else, from a scoreboard line to a pod
that becomes ready, is a timer between two stretches of that loop.
"""

from __future__ import annotations

from heapq import heappop, heappush, heapreplace
from operator import attrgetter
from random import Random
from typing import TYPE_CHECKING

from mpm_operator.core.flow import listen

from .clients import Clients
from .pod import BURST_CPU_SHARE, BURST_PERIOD, BUSY_LOOK, SETTLE_SECONDS, Pod
from .scenario import Balancer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mpm_operator.core.effective import Effective

    from .measures import Measures
    from .scenario import Scenario

LINE_PERIOD = 1.0
EDGE_PERIOD = 0.25
"""Least seconds between two lines that a pod sends for one kind of edge (`mpm_worker.supervisor`)."""
DRAIN_PERIOD = SETTLE_SECONDS
QUIESCE_TTL = 30.0

_load = attrgetter("load")


class Cluster:
    """Pods of one WebServer and the requests to them, in virtual time."""

    def __init__(
        self,
        effective: Effective,
        scenario: Scenario,
        requests: Iterator[tuple[float, float]],
        measures: Measures,
    ) -> None:
        self.effective = effective
        self.scenario = scenario
        self.measures = measures
        self.pods: list[Pod] = []
        """Every pod that ever was; a pod's index is its place here."""
        self.alive: list[Pod] = []
        self.endpoints: list[Pod] = []
        """Where the balancer sends connections."""
        self.on_edge: Callable[[float], None] = lambda now: None
        """Called when the operator hears of an edge or sees a pod change."""
        self._requests = requests
        self._next = next(requests, (float("inf"), 0.0))
        self._departures: list[tuple[float, int, float]] = []
        """Heap of (time, index of the pod, service time)."""
        self._timers: list[tuple[float, int, Callable[[float], None]]] = []
        self._timer_count = 0
        dealing = scenario.seed if scenario.dealing is None else scenario.dealing
        self._uniform = Random(f"balancer {dealing}").random
        self._lost_line = Random(f"lines {scenario.seed}").random
        self._clients = Clients(scenario.clients, effective, self._uniform, self._choose)

    def at(self, time: float, action: Callable[[float], None]) -> None:
        """Call `action` at `time`; actions of one moment run in the order of asking."""
        self._timer_count += 1
        heappush(self._timers, (time, self._timer_count, action))

    def run(self, end: float) -> None:
        """Let time pass until `end`."""
        while self._timers and self._timers[0][0] <= end:
            self._serve(self._timers[0][0])
            time, _, action = heappop(self._timers)
            # An edge within that stretch may have put an earlier timer in front; order holds either way.
            action(time)
        self._serve(end)

    def ordered_pods(self) -> int:
        """Pods that the ReplicaSet counts: all that were not told to end."""
        return sum(pod.terminated_at is None for pod in self.alive)

    # Pods

    def create(self, now: float) -> None:
        """Start one pod."""
        pod = Pod(len(self.pods), now, self.effective)
        self.pods.append(pod)
        self.alive.append(pod)
        self.measures.peak = max(self.measures.peak, self.ordered_pods())
        self.at(now + self.scenario.startup_s, lambda then: self._ready(pod, then))

    def _ready(self, pod: Pod, now: float) -> None:
        if pod.terminated_at is not None:
            return
        pod.ready_at = now
        self._show(pod)
        self._line(pod, now)
        self.on_edge(now)

    def quiesce(self, pod: Pod, now: float) -> None:
        """Take the pod out of the endpoints, or renew its time to live there."""
        pod.quiesced_until = now + QUIESCE_TTL
        if pod.quiesced_at is None:
            pod.quiesced_at = now
            self.at(now + self.scenario.endpoint_lag_s, lambda then: self._follow(pod, then))

    def resume(self, pod: Pod, now: float) -> None:
        """Let a quiesced pod serve again."""
        if pod.quiesced_at is not None:
            pod.quiesced_at = None
            self.at(now + self.scenario.endpoint_lag_s, lambda then: self._follow(pod, then))

    def terminate(self, pod: Pod, now: float) -> None:
        """Tell the pod to end: it accepts for the drain delay, finishes what it has, and goes."""
        settings = self.effective
        pod.hear_arrivals(now)
        accepts_until = pod.terminate(
            now, settings.drain_delay_seconds, settings.graceful_shutdown_timeout_seconds
        )
        self.measures.victim(now, pod.load)
        self.at(now + self.scenario.endpoint_lag_s, lambda then: self._follow(pod, then))
        self.at(accepts_until, lambda then: self._drain(pod, then))

    def _drain(self, pod: Pod, now: float) -> None:
        pod.hear_arrivals(now)
        if not pod.is_over(now):
            self.at(now + DRAIN_PERIOD, lambda then: self._drain(pod, then))
            return
        if pod.load:
            self._cut(pod, now)
        self._hide(pod)
        pod.ended_at = now
        self.at(now + self.scenario.ending_s, lambda then: self._gone(pod, then))

    def _gone(self, pod: Pod, now: float) -> None:
        pod.gone_at = now
        self.alive.remove(pod)
        self.on_edge(now)

    def _cut(self, pod: Pod, now: float) -> None:
        """End a pod at its drain deadline: what is in it is lost."""
        self.measures.cut_off(now, pod.load)
        self._departures = [entry for entry in self._departures if entry[1] != pod.index]
        self._departures.sort()
        pod.queue.clear()
        pod.load = pod.busy = 0

    def _follow(self, pod: Pod, now: float) -> None:
        """Let the endpoints follow the pod's readiness."""
        if pod.accepts and pod.ready_at is not None:
            self._show(pod)
        else:
            self._hide(pod)
        self.on_edge(now)

    def _show(self, pod: Pod) -> None:
        if not pod.in_endpoints:
            pod.in_endpoints = True
            self.endpoints.append(pod)

    def _hide(self, pod: Pod) -> None:
        if pod.in_endpoints:
            pod.in_endpoints = False
            self.endpoints.remove(pod)

    # What a pod does by itself

    def _line(self, pod: Pod, now: float) -> None:
        """Send the line of the second; quiet supervision happens at the same beat."""
        if pod.ended_at is not None:
            return
        self.at(now + LINE_PERIOD, lambda then: self._line(pod, then))
        pod.hear_arrivals(now)
        pod.calm_down(now)
        if pod.quiesced_at is not None and now >= pod.quiesced_until:
            self.resume(pod, now)
        self._clients.let_go_of_idle(pod, now)
        self.report(pod, now)

    def report(self, pod: Pod, now: float) -> bool:
        """Send a scoreboard line; return whether it arrived."""
        if self.scenario.stat_loss and self._lost_line() < self.scenario.stat_loss:
            return False
        pod.told_full = pod.accepts and pod.busy >= pod.slots
        line = pod.scoreboard(now, self.scenario.cpu_s, self.scenario.cpu_quota)
        pod.report = listen(line, pod.report)
        return True

    def _saturated(self, pod: Pod, now: float) -> None:
        """Send a line at once: no slot is idle."""
        pod.full(now)
        if now - pod.saturated_at >= EDGE_PERIOD:
            pod.saturated_at = now
            self._tell(pod, now)

    def _queued(self, pod: Pod, now: float) -> None:
        """Send a line at once: a queue began. And decide soon about threads."""
        self.watch_queue(pod, now)
        if now - pod.queued_at >= EDGE_PERIOD:
            pod.queued_at = now
            self._tell(pod, now)

    def _eased(self, pod: Pod, now: float) -> None:
        """Take the line back that showed no idle slot; the supervisor sees it at its next look."""
        if not pod.easing:
            pod.easing = True
            at = max(now + BUSY_LOOK, pod.eased_at + EDGE_PERIOD)
            self.at(at, lambda then: self._tell_eased(pod, then))

    def _tell_eased(self, pod: Pod, now: float) -> None:
        pod.easing = False
        if pod.told_full and pod.busy < pod.slots and pod.ended_at is None:
            pod.eased_at = now
            self.report(pod, now)  # good news wakes nobody

    def _tell(self, pod: Pod, now: float) -> None:
        if self.report(pod, now):
            self.on_edge(now)

    def watch_queue(self, pod: Pod, now: float) -> None:
        """Decide about threads soon, when there is a queue and threads may be added."""
        if pod.queue and not pod.bursting and pod.threads < pod.ceiling:
            pod.bursting, pod.step = True, 1
            self.at(pod.decides_at(now), lambda then: self._burst(pod, then))

    def _burst(self, pod: Pod, now: float) -> None:
        pod.bursting = False
        if not pod.queue or pod.threads >= pod.ceiling:
            return
        pod.needed_at = now
        if pod.busy * self._cpu_share() < BURST_CPU_SHARE * self._cpus(pod):
            pod.burst(now)
            self.fill(pod, now)
        pod.bursting = True
        self.at(now + BURST_PERIOD, lambda then: self._burst(pod, then))

    def fill(self, pod: Pod, now: float) -> None:
        """Give waiting requests the slots that have come free by a change of threads."""
        while pod.queue and pod.busy < pod.slots:
            arrival, service = pod.queue.popleft()
            pod.busy += 1
            self.measures.waited(arrival, now - arrival)
            service = self._stretch(pod, service)
            heappush(self._departures, (now + service, pod.index, service))

    def _cpu_share(self) -> float:
        return self.scenario.cpu_s / self.scenario.service_s

    def _stretch(self, pod: Pod, service: float) -> float:
        """Return how long a request takes beside the others that want the pod's CPU."""
        wanted = pod.busy * self._cpu_share()
        return service * max(1.0, wanted / self._cpus(pod))

    def _cpus(self, pod: Pod) -> float:
        return min(self.scenario.cpu_quota, pod.cpus)

    def rebalance(self, pod: Pod, share: float) -> None:
        """Let go of `share` of the pod's connections."""
        self._clients.let_go(pod, share)

    # Requests

    def _choose(self) -> Pod | None:
        """Return the pod that the balancer gives a new connection to."""
        endpoints = self.endpoints
        if not endpoints:
            return None
        if self.scenario.balancer is Balancer.RANDOM:
            return endpoints[int(self._uniform() * len(endpoints))]
        return min(endpoints, key=_load)

    def _serve(self, until: float) -> None:
        """Let requests arrive and depart up to `until`, or to an earlier timer that an edge asked for."""
        departures, pods, timers, measures = self._departures, self.pods, self._timers, self.measures
        endpoints, requests, uniform = self.endpoints, self._requests, self._uniform
        random = self.scenario.balancer is Balancer.RANDOM
        clients, contended = bool(self._clients), self.scenario.cpu_s > 0
        arrival, service = self._next
        count = 0
        while True:
            if departures and departures[0][0] <= arrival:
                now, index, held = departures[0]
                if now >= until:
                    break
                pod = pods[index]
                pod.load -= 1
                pod.accesses += 1
                pod.busy_s += held
                pod.out_sum += now
                if pod.queue and pod.busy <= pod.slots:
                    arrived, held = pod.queue.popleft()
                    measures.waited(arrived, now - arrived)
                    if contended:
                        held = self._stretch(pod, held)
                    heapreplace(departures, (now + held, index, held))
                else:
                    heappop(departures)
                    pod.busy -= 1
                    if pod.told_full:
                        self._eased(pod, now)
                        until = min(until, timers[0][0])
                continue
            if arrival >= until:
                break
            count += 1
            chosen: Pod | None
            if clients:
                chosen = self._clients.route(arrival)
            elif not endpoints:
                chosen = None
            elif random:
                chosen = endpoints[int(uniform() * len(endpoints))]
            else:
                chosen = min(endpoints, key=_load)
            if chosen is None:
                measures.refused(arrival)
            elif chosen.busy < chosen.slots:
                chosen.busy += 1
                chosen.load += 1
                chosen.in_sum += arrival
                if contended:
                    service = self._stretch(chosen, service)
                heappush(departures, (arrival + service, chosen.index, service))
                if chosen.busy == chosen.slots:
                    self._saturated(chosen, arrival)
                    until = min(until, timers[0][0]) if timers else until
            elif len(chosen.queue) >= chosen.limit:
                chosen.overflows += 1
                measures.refused(arrival)
            else:
                chosen.queue.append((arrival, service))
                chosen.load += 1
                chosen.in_sum += arrival
                if len(chosen.queue) == 1:
                    self._queued(chosen, arrival)
                    until = min(until, timers[0][0]) if timers else until
            arrival, service = next(requests, (float("inf"), 0.0))
        self._next = (arrival, service)
        measures.requests += count

    def waiting(self) -> Iterator[float]:
        """Yield the arrival time of every request that still waits."""
        for pod in self.alive:
            for arrival, _ in pod.queue:
                yield arrival
