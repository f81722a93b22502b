"""One run of the policy benchmark: which policy meets which requests on which pods; and its figures."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import policy_peers as formulas
import policy_real as real
from msgspec.structs import replace

from mpm_operator.core import law, planner
from mpm_operator.core.directives import normalise
from mpm_operator.core.plan import Control
from mpm_operator.core.planner import plan
from mpm_operator.core.spec import App, MPMDirectives, WebServerSpec
from mpm_operator.simulator.run import simulate
from mpm_operator.simulator.scenario import Balancer, Distribution, Episode, Scenario
from mpm_operator.simulator.trace import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mpm_operator.core.effective import Effective
    from mpm_operator.core.plan import Plan
    from mpm_operator.core.snapshot import Snapshot
    from mpm_operator.simulator.policy import Policy

STEP = "step"
STEP_RATES = (60.0,) * 300 + (300.0,) * 600 + (60.0,) * 300
DEFAULT_TARGET = 0.7
WARM_UP_S = 600
"""Twice the window of the HPA, so that nobody carries the beginning into the measured time."""

FORMULAS: Mapping[str, Callable[[float], Policy]] = {
    "KPA": formulas.KPA,
    # KEDA over Prometheus asks the HPA for ceil(total / target): the same figures, the same line.
    "HPA, KEDA": formulas.HPA,
    "KEDA-HTTP": lambda target: formulas.HPA(target, metric="in-flight", total=True, lag=1.0),
    "Fixed": formulas.Fixed,
}
REAL: Mapping[str, Callable[[float], real.KPA | real.HPA]] = {
    "KPA": real.KPA,
    "HPA, KEDA": real.HPA,
    "KEDA-HTTP": lambda target: real.HPA(target, metric="in-flight", total=True, lag=1.0),
}
WITH_BURST = "KPA, bursting pods"
APACHE = "Apache"


def without_queue(snapshot: Snapshot, now: float) -> Plan:
    """The planner, blind for what waits: what was completed is all that seems to have come."""
    pods = []
    for pod in snapshot.pods:
        if (report := pod.report) is not None:
            flow = replace(report.flow, arrivals=report.flow.completions)
            pod = replace(pod, report=replace(report, queue=0, flow=flow))
        pods.append(pod)
    return plan(replace(snapshot, pods=tuple(pods)), now)


def newest_first(snapshot: Snapshot, now: float) -> Plan:
    """The planner, with the ReplicaSet choosing who goes: the youngest."""
    made = plan(snapshot, now)
    return replace(made, replicas=made.desired, quiesce=(), victims=(), resume=())


OURS, NO_BURST, FIXED_SHARE = "mpm", "mpm, no burst threads", "mpm, fixed 70 %"
NO_AHEAD = "mpm, no burst threads, no look-ahead"
PLANNERS: dict[str, Policy] = {
    OURS: plan,
    "mpm, no queue term": without_queue,
    FIXED_SHARE: plan,
    "mpm, newest first": newest_first,
    NO_BURST: plan,
    NO_AHEAD: plan,
}
"""Ours, and ours with one part taken out: the ablations."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    trace: str
    policy: str
    target: float
    """0 for policies that have none."""
    balancer: Balancer
    seed: int
    slots: int = 25
    service_s: float = 1.0
    startup_s: float = 8.0
    distribution: Distribution = Distribution.EXPONENTIAL
    slow: bool = False
    """Service takes twice as long in the middle fifth of the trace."""
    clients: int = 0
    real: bool = True
    """The peer's own code in place of its formula, where there is one."""

    @property
    def place(self) -> str:
        """The trace's name, without its folder."""
        return Path(self.trace).stem

    @property
    def setting(self) -> str:
        """What differs from the grid's setting."""
        told = {**asdict(self), "service": "twice as long for a while" if self.slow else ""}
        plain = asdict(Job(self.trace, self.policy, self.target, self.balancer, self.seed, real=self.real))
        names = {"slots": "K", "startup_s": "start-up", "distribution": "service times", "clients": "clients"}
        parts = [f"{name} {told[key]:g}" if isinstance(told[key], int | float) else f"{name} {told[key]}"
                 for key, name in names.items() if told[key] != plain[key]]  # fmt: skip
        return ", ".join([*parts, *(["slow backend"] if self.slow else [])])

    @property
    def key(self) -> str:
        """What tells this run from every other."""
        return repr(tuple({**asdict(self), "trace": self.place}.values()))


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of a run that go into tables."""

    violations: float
    cost: float
    pod_seconds: float
    ideal: float
    peak: int
    needed: int
    flaps: float
    victims: int
    writes: int
    lost: int
    wait_ms: float
    """99th percentile of the wait."""


def rates_of(trace: str) -> tuple[float, ...]:
    """Return the rates of a file, or of the step."""
    if trace == STEP:
        return STEP_RATES
    with open(trace, encoding="utf-8") as lines:
        return parse(lines, trace)


def directives(slots: int, burst: bool) -> Effective:
    """Return directives without limits that matter; without burst, ThreadLimit is ThreadsPerChild."""
    mpm = MPMDirectives(
        threads_per_child=slots, max_request_workers=1000 * slots, thread_limit=None if burst else slots
    )
    return normalise(WebServerSpec(app=App(module="app:app"), mpm=mpm))[0]


def run(job: Job) -> tuple[Job, Row]:
    """Run one job."""
    rates = rates_of(job.trace)
    length = len(rates)
    scenario = Scenario(
        service_s=job.service_s,
        distribution=job.distribution,
        startup_s=job.startup_s,
        balancer=job.balancer,
        seed=job.seed,
        warm_up_s=WARM_UP_S,
        clients=job.clients,
        episodes=(Episode(0.4 * length, 0.6 * length, 2.0),) if job.slow else (),
    )
    # Peers get pods as their users run them: with the threads they were given.
    burst = job.policy in {*PLANNERS, WITH_BURST} - {NO_BURST, NO_AHEAD}
    with _policy(job) as policy:
        result = simulate(rates, directives(job.slots, burst), scenario, policy)
    return job, Row(
        violations=result.violations_percent,
        cost=result.cost,
        pod_seconds=result.pod_seconds,
        ideal=result.ideal_pod_seconds,
        peak=result.peak_pods,
        needed=result.needed_peak_pods,
        flaps=result.flaps_per_hour,
        victims=result.in_flight_on_victims,
        writes=result.api_writes,
        lost=result.lost,
        wait_ms=result.p99_wait_ms,
    )


@contextmanager
def _policy(job: Job) -> Iterator[Policy]:
    if job.policy == APACHE:
        yield formulas.Apache()
    elif job.policy in FORMULAS or job.policy == WITH_BURST:
        name = "KPA" if job.policy == WITH_BURST else job.policy
        if job.real and name in REAL:
            peer = REAL[name](job.target)
            yield bursting(peer) if job.policy == WITH_BURST else peer
            peer.pipe.close()
        else:
            formula = FORMULAS[name](job.target)
            yield bursting(formula) if job.policy == WITH_BURST else formula
    elif job.policy == FIXED_SHARE:
        with changed(law, "staff", lambda load, slots, *_: max(1, math.ceil(load / (0.7 * slots)))):
            yield plan
    elif job.policy == NO_AHEAD:
        with changed(planner, "follow", lambda trend, *_: trend):
            yield plan
    else:
        yield PLANNERS[job.policy]


def bursting(policy: Policy) -> Policy:
    """A peer's policy on pods of ours: every pod may burst to its ThreadLimit, as under our planner."""

    def decide(snapshot: Snapshot, now: float) -> Plan:
        limit = snapshot.effective.thread_limit
        calls = tuple(
            Control(pod.name, {"threadsCeiling": limit})
            for pod in snapshot.pods
            if pod.report is not None and pod.report.threads_ceiling < limit
        )
        return replace(policy(snapshot, now), controls=calls)

    return decide


@contextmanager
def changed(place: Any, name: str, value: Any) -> Iterator[None]:
    """Put another part into the planner for the time of a run."""
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)
