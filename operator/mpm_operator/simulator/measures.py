"""What is written down while a run goes on; `result` makes figures of it."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpm_operator.core.plan import Decision

FLAP_SECONDS = 120.0


@dataclass(slots=True)
class Measures:
    """Counts over the measured time: from `start` (the warm-up is left out) for `seconds`."""

    start: float
    seconds: int
    slo_s: float
    waits: array[float] = field(default_factory=lambda: array("d"))
    """Waits above zero."""
    requests: int = 0
    lost: int = 0
    """Refused because no pod was there or its listen backlog was full."""
    cut: int = 0
    """In a pod that was ended at its drain deadline."""
    late: list[int] = field(default_factory=list)
    """Requests of each second that waited longer than the SLO, were lost or cut."""
    pods: list[int] = field(default_factory=list)
    """Pods at the end of each second, draining ones left out."""
    ready: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    """Slots that accept, at the end of each second."""
    peak: int = 0
    in_flight_on_victims: int = 0
    busy_on_victims: int = 0
    """When they quiesced."""
    busy_on_newest: int = 0
    """On the newest pod at these moments."""
    scale_writes: int = 0
    pod_writes: int = 0
    status_writes: int = 0
    plans: int = 0
    targets: list[tuple[float, int]] = field(default_factory=list)
    """(time, pods wanted) at each change."""
    decisions: list[tuple[float, int, Decision]] = field(default_factory=list)
    """(second, pods wanted, decision) at each change of the wanted pods."""

    def __post_init__(self) -> None:
        self.late = [0] * self.seconds

    def waited(self, arrival: float, wait: float) -> None:
        """Note a request that was started after waiting."""
        if arrival >= self.start:
            self.waits.append(wait)
            if wait > self.slo_s:
                self.violated(arrival)

    def refused(self, arrival: float) -> None:
        """Note a request that was lost at the door."""
        if arrival >= self.start:
            self.lost += 1
            self.violated(arrival)

    def cut_off(self, now: float, requests: int) -> None:
        """Note the requests in a pod that was ended before it was empty."""
        if now >= self.start:
            self.cut += requests
            for _ in range(requests):
                self.violated(now)

    def victim(self, now: float, requests: int) -> None:
        """Note the requests in a pod at the moment it was told to end."""
        if now >= self.start:
            self.in_flight_on_victims += requests

    def quiesced(self, now: float, busy: int, newest: int) -> None:
        """Note the requests in service on a pod that quiesced, and on the newest pod at that moment."""
        if now >= self.start:
            self.busy_on_victims += busy
            self.busy_on_newest += newest

    def begin(self, pods: int) -> None:
        """Forget what the warm-up counted; `pods` are there."""
        self.requests = self.plans = 0
        self.peak = pods
        self.scale_writes = self.pod_writes = self.status_writes = 0

    def violated(self, arrival: float) -> None:
        """Note a request whose SLO was missed."""
        self.late[min(int(arrival - self.start), self.seconds - 1)] += 1

    def wanted(self, now: float, pods: int, decision: Decision) -> None:
        """Note how many pods are wanted in service after a decision."""
        if self.targets and self.targets[-1][1] == pods:
            return
        self.targets.append((now, pods))
        if now >= self.start:
            self.decisions.append((now - self.start, pods, decision))

    def flaps(self) -> int:
        """Count changes of direction within FLAP_SECONDS, over the measured time."""
        flaps, previous = 0, (float("-inf"), 0)
        for (_, before), (now, after) in pairwise(self.targets):
            direction = 1 if after > before else -1
            if direction == -previous[1] and now - previous[0] <= FLAP_SECONDS and now >= self.start:
                flaps += 1
            previous = (now, direction)
        return flaps
