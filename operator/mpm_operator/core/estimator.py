"""The offered load, in erlangs: how many slots the requests would hold if none had to wait.

Arrivals are counted in requests, from cumulative counters: completed ones plus the change of what is inside
(busy and queued), so that a saturated pod still shows what arrives. Load = arrivals x service time (Little);
service time = slot time / completions. Not clipped at saturation; when an accept queue overflows, requests
are lost unseen and the load is "at least".
"""

from __future__ import annotations

from math import exp, sqrt
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from .service import Batch, gather

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .snapshot import Pod, Report

SAMPLE_SECONDS = 1.0
RATE_SECONDS = 8.0
"""Time constant of the arrival rate."""
VARIANCE_SECONDS = 120.0
"""Time constant of the variance: that of the load's restlessness, not of one jump."""
BALANCER_SECONDS = 60.0
"""Time constant of the judgement of the balancer."""
EVEN, UNEVEN = 0.4, 0.6
"""Below EVEN the pods are one queue, until UNEVEN; random dealing gives 1, round robin more than a half."""
SERVICE_SECONDS = 30.0
"""Time constant of the service time: rare completions must not shake it; `service` tells a change."""
JUMP_SIGMAS = 4.0
"""A sample so far from the mean is no noise of a Poisson stream, nor of one as restless as this was: half of
the way is gone at once, and after a second one on the same side the mean begins anew."""
SURE_SIGMAS = 2.0
KIND_SECONDS = 300.0
"""Time constant of what requests wait and compute: a matter of the application, not of its load."""
LEAST_USE = 0.5
"""Slots of a pod that are busy on average from which its CPU is that of requests, not of its supervisor."""
MOST_CPU = 0.8
"""Share of its CPUs up to which a pod's waits are known apart from its waits for them."""


class Load(Struct, frozen=True):
    """What the estimator knows; `offered` is its result."""

    pods: Mapping[str, tuple[Report, float, float]] = field(default_factory=dict)
    """Pod → the line from which its next difference counts, and the arrivals and completions a second of the
    last one. Plain tuples: one is made for each pod and second."""
    sampled_at: float = float("-inf")
    samples: int = 0
    rate: float = 0.0
    """Mean arrivals a second."""
    variance: float = 0.0
    """Mean square of what arrivals of a second differ from their mean."""
    inside: float = 0.0
    """Slots that are always busy: a floor that needs no service time and sees requests that never end."""
    served: float = 0.0
    """Completions, fading, and the slot seconds they took: their quotient is the service time."""
    held: float = 0.0
    burnt: float = 0.0
    """CPU seconds of the same completions."""
    batch: Batch = field(default_factory=Batch)
    """The last completions, by which a change of the service time is known."""
    waited: float = 0.0
    """Seconds that requests held a slot without a CPU, fading slowly, and the CPU seconds of the same
    requests: only from pods that were in use and not short of CPU."""
    computed: float = 0.0
    dispersion: float = 1.0
    """Mean of the survey's dispersion."""
    pooled: bool = False
    """The balancer evens the pods out, so that they serve as one queue."""
    overflowing: bool = False
    """Connections were lost since the last sample."""
    held_back: float = 0.0
    """Seconds for which the queue stood still in front of full slots: clients that wait for their answer
    before they ask again, and would ask more if they were served."""
    queue_before: int = 0
    jump: int = 0
    """1 or -1 when the last sample lay far above or below the mean."""

    @property
    def service_seconds(self) -> float:
        """Mean time a request holds a slot; 0 while none was completed."""
        return self.held / self.served if self.served > 0 else 0.0

    @property
    def cpu_share(self) -> float:
        """CPUs that a busy slot takes."""
        return self.burnt / self.held if self.held > 0 else 0.0

    @property
    def cpu_seconds(self) -> float:
        """CPU time of a request."""
        return self.burnt / self.served if self.served > 0 else 0.0

    @property
    def wait_per_cpu(self) -> float:
        """How many times as long as it computes a request waits for something else than the CPU."""
        return self.waited / self.computed if self.computed > 0 else 0.0

    @property
    def deviation(self) -> float:
        """Standard error of the offered load: from the variance seen, that of a Poisson stream at least."""
        return sqrt(max(self.rate, self.variance) / (2 * RATE_SECONDS)) * self.service_seconds

    @property
    def offered(self) -> float:
        """Offered load in erlangs."""
        counted = self.rate * self.service_seconds
        # Only where it is more than chance: the greater of two noisy means would always be too much.
        chance = SURE_SIGMAS * sqrt(self.inside / (2 * RATE_SECONDS))
        return self.inside if self.inside > counted + chance else counted


def observe(
    load: Load,
    pods: Iterable[Pod],
    busy: int,
    idle: int,
    queue: int,
    now: float,
    dispersion: float | None = None,
) -> Load:
    """Return the estimate after the lines in `pods`; called at any moment, it samples once a second."""
    if now - load.sampled_at < SAMPLE_SECONDS - 1e-6:
        return load
    bases: dict[str, tuple[Report, float, float]] = {}
    served = held = burnt = 0
    waited = computed = 0.0
    overflowing = False
    for pod in pods:
        report = pod.report
        if report is None:
            continue
        basis = load.pods.get(pod.name)
        if basis is None or basis[0].boot != report.boot or report.accesses < basis[0].accesses:
            bases[pod.name] = (report, 0.0, 0.0)
            continue
        old = basis[0]
        passed = report.at - old.at
        if passed < SAMPLE_SECONDS * 0.5:
            # Too short to divide by; a pod that is silent keeps its last load.
            bases[pod.name] = basis
            continue
        done = report.accesses - old.accesses
        arrived = done + report.busy + report.queue - old.busy - old.queue
        bases[pod.name] = (report, arrived / passed if arrived > 0 else 0.0, done / passed)
        served += done
        wall, cpu = report.busy_ms - old.busy_ms, report.cpu_ms - old.cpu_ms
        held += wall if wall > 0 else 0
        burnt += cpu if cpu > 0 else 0
        if report.overflows > old.overflows:
            overflowing = True
        # One CPU a server at most: without a limit the quota is the node's, and an interpreter has one lock.
        cpus = report.servers or 1
        allowed = passed * (report.cpu_quota if report.cpu_quota < cpus else cpus) * 1000
        if wall >= LEAST_USE * 1000 * passed and 0 <= cpu <= MOST_CPU * allowed:
            # Processor sharing: at a use u computing takes 1 / (1 - u) times as long as alone.
            alone = wall - cpu * allowed / (allowed - cpu) if cpu else wall
            waited += alone if alone > 0 else 0.0
            computed += cpu
    sampled = _sample(load, bases, served, held / 1000, burnt / 1000, overflowing, busy, idle, queue, now)
    fade = exp(-min(now - load.sampled_at, KIND_SECONDS) / KIND_SECONDS) if load.samples else 1.0
    sampled = replace(
        sampled,
        waited=load.waited * fade + waited / 1000,
        computed=load.computed * fade + computed / 1000,
    )
    return _judge_balancer(sampled, dispersion)


def _judge_balancer(load: Load, dispersion: float | None) -> Load:
    """Return the load with what the evenness of the pods tells of the balancer."""
    if dispersion is None:
        return load
    mean = load.dispersion + (dispersion - load.dispersion) / BALANCER_SECONDS
    return replace(load, dispersion=mean, pooled=mean < (UNEVEN if load.pooled else EVEN))


def _sample(
    load: Load,
    bases: Mapping[str, tuple[Report, float, float]],
    served: int,
    held: float,
    burnt: float,
    overflowing: bool,
    busy: int,
    idle: int,
    queue: int,
    now: float,
) -> Load:
    passed = min(now - load.sampled_at, RATE_SECONDS) if load.samples else SAMPLE_SECONDS
    seen = sum([arrivals for _, arrivals, _ in bases.values()])
    done = sum([completions for _, _, completions in bases.values()])
    samples = load.samples + 1 if load.samples or bases else 0
    # The first samples weigh as much as each other; a mean that starts at zero would be late.
    gain = max(1 - exp(-passed / RATE_SECONDS), 1 / max(1, samples - 1))
    jump = 0
    if abs(seen - load.rate) > JUMP_SIGMAS * sqrt(max(load.rate, load.variance, 1.0) / passed):
        jump = 1 if seen > load.rate else -1
        gain = 1.0 if jump == load.jump else max(gain, 0.5)
        samples = 2 if jump == load.jump else samples
    fade = exp(-passed / SERVICE_SECONDS)
    batch, anew = gather(load.batch, load.service_seconds, served, held, burnt)
    still = queue > 0 and idle == 0 and abs(queue - load.queue_before) <= max(1.0, 0.1 * done * passed)
    return Load(
        pods=bases,
        sampled_at=now,
        samples=samples,
        rate=load.rate + gain * (seen - load.rate),
        variance=load.variance + ((seen - load.rate) ** 2 - load.variance) * passed / VARIANCE_SECONDS,
        # Falls fast and rises slowly: slots that long requests hold stay busy, and only they shall show here.
        # The plain mean would be too high, for pods send a line just when they run full.
        inside=load.inside + (max(gain, 0.5) if busy < load.inside else gain) * (busy - load.inside),
        served=batch.served if anew else load.served * fade + served,
        held=batch.held if anew else load.held * fade + held,
        burnt=batch.burnt if anew else load.burnt * fade + burnt,
        batch=batch,
        dispersion=load.dispersion,
        pooled=load.pooled,
        overflowing=overflowing,
        held_back=load.held_back + passed if still else 0.0,
        queue_before=queue,
        jump=jump,
    )
