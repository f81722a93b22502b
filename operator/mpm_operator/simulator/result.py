"""The figures of a run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mpm_operator.core.staffing import pods_for

from .load import mean_service
from .scenario import Balancer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mpm_operator.core.effective import Effective

    from .cluster import Cluster
    from .measures import Measures
    from .scenario import Scenario


@dataclass(frozen=True, slots=True)
class Second:
    """One second of the run, as it was at its end."""

    rps: float
    """What the trace asked for."""
    slots_needed: float
    """rps × service time: slots that this second keeps busy."""
    pods: int
    ready: int
    slots: int
    late: int
    """Requests that arrived in this second and waited longer than the SLO, or were lost."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the wanted pods, and why."""

    second: float
    pods: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a run cost and whom it kept waiting. The names are keys of `mpm simulate --json`."""

    requests: int
    violations_percent: float
    """Share of requests that waited for a slot longer than the SLO, or were lost."""
    lost: int
    """Refused: the listen backlog was full, or no pod was ready."""
    cut: int
    """Still in a pod at its drain deadline."""
    p99_wait_ms: float
    pod_seconds: float
    """From the creation of each pod until it is gone, starting and draining included."""
    ideal_pod_seconds: float
    """Σ over seconds of ceil(rps × service time / slots of a pod): no waiting room, no foresight needed."""
    cost: float
    """pod_seconds / ideal_pod_seconds."""
    peak_pods: int
    needed_peak_pods: int
    """Pods that hold the highest second of the trace at the wished-for wait probability, by Erlang C."""
    flaps_per_hour: float
    """Changes of direction of the wanted pods within 120 s."""
    in_flight_on_victims: int
    """Requests in the pods that were told to end, at that moment: these have drained before."""
    busy_on_victims: int
    """Requests in service on pods at the moment they quiesced."""
    busy_on_newest: int
    """The same if the newest pod had been taken each time, as a ReplicaSet does."""
    api_writes: int
    """Writes of replicas, deletion costs and status."""
    scale_writes: int
    plans: int
    seconds: tuple[Second, ...] = ()
    changes: tuple[Change, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the figures and the changes, without the seconds."""
        values = asdict(self)
        del values["seconds"]
        return values


def summarise(
    rates: Sequence[float], effective: Effective, scenario: Scenario, cluster: Cluster, measures: Measures
) -> Result:
    """Return the figures of the run that `measures` recorded over `rates`."""
    end = measures.start + len(rates)
    slots = effective.slots_per_pod
    loads = [rate * mean_service(scenario, second) for second, rate in enumerate(rates)]
    ideal = float(sum(math.ceil(load / slots) for load in loads))
    spent = sum(
        max(0.0, min(end if pod.gone_at is None else pod.gone_at, end) - max(pod.created_at, measures.start))
        for pod in cluster.pods
    )
    late = sum(measures.late)
    return Result(
        requests=measures.requests,
        violations_percent=_rounded(100 * late / max(1, measures.requests)),
        lost=measures.lost,
        cut=measures.cut,
        p99_wait_ms=_rounded(1000 * _percentile(measures.waits, measures.requests, 0.99)),
        pod_seconds=_rounded(spent),
        ideal_pod_seconds=ideal,
        cost=_rounded(spent / ideal) if ideal else 0.0,
        peak_pods=measures.peak,
        needed_peak_pods=_needed(max(loads), effective, scenario),
        flaps_per_hour=_rounded(measures.flaps() * 3600 / len(rates)),
        in_flight_on_victims=measures.in_flight_on_victims,
        busy_on_victims=measures.busy_on_victims,
        busy_on_newest=measures.busy_on_newest,
        api_writes=measures.scale_writes + measures.pod_writes + measures.status_writes,
        scale_writes=measures.scale_writes,
        plans=measures.plans,
        seconds=tuple(
            Second(rate, load, *row)
            for rate, load, *row in zip(
                rates, loads, measures.pods, measures.ready, measures.slots, measures.late, strict=True
            )
        ),
        changes=tuple(
            Change(_rounded(second), pods, decision.reason, decision.message)
            for second, pods, decision in measures.decisions
        ),
    )


def _needed(load: float, effective: Effective, scenario: Scenario) -> int:
    pooled = scenario.balancer is Balancer.LEAST_BUSY
    return pods_for(load, effective.slots_per_pod, effective.wait_probability_percent, pooled=pooled)


def _percentile(waits: Sequence[float], requests: int, share: float) -> float:
    """Percentile over all `requests`, of which only those in `waits` waited at all."""
    beyond = int(requests * (1 - share))
    return sorted(waits)[-beyond - 1] if len(waits) > beyond else 0.0


def _rounded(value: float) -> float:
    return round(value, 3)
