"""The offered load, in erlangs: how many slots the requests would hold if none had to wait.

Arrivals are counted in requests, from cumulative counters: completed ones plus the change of what is inside
(busy and queued), so that a saturated pod still shows what arrives. Each line that came brought its
difference (`flow`); here they are added up. Load = arrivals x service time (Little); service time = slot
time / completions. Not clipped at saturation; when an accept queue overflows, requests are lost unseen and
the load is "at least".
"""

from __future__ import annotations

from math import exp, sqrt
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from .service import Batch, gather

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .flow import Flow
    from .snapshot import Pod

SAMPLE_SECONDS = 1.0
RATE_SECONDS = 8.0
"""Time constant of the arrival rate, for requests of up to twice as long."""
VARIANCE_SECONDS = 120.0
"""Time constant of the variance: that of the load's restlessness, not of one jump."""
BALANCER_SECONDS = 60.0
"""Time constant of the judgement of the balancer."""
MOST_UNEVEN = 4.0
"""More than chance makes of three pods or more is no matter of dealing: a pod is new, or one hangs. One such
second must not be remembered for minutes."""
EVEN, UNEVEN = 0.4, 0.6
"""Below EVEN the pods are one queue, until UNEVEN; random dealing gives 1, round robin more than a half."""
SERVICE_SECONDS = 30.0
"""Time constant of the service time: rare completions must not shake it; `service` tells a change."""
LEAST_SERVED = 50.0
"""Completions of which the service time is a mean at least, where there were so many."""
JUMP_SIGMAS = 4.0
"""A sample so far from the mean is no noise of a Poisson stream, nor of one as restless as this was: half of
the way is gone at once, and after a second one on the same side, or with another service time, the mean
begins anew."""
SURE_SIGMAS = 2.0
KIND_SECONDS = 300.0
"""Time constant of what requests wait and compute: a matter of the application, not of its load."""


class Load(Struct, frozen=True):
    """What the estimator knows; `offered` is its result."""

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
    def rate_seconds(self) -> float:
        """Time constant of the arrival rate. What is inside follows the arrivals within a service time: to
        follow them faster than in half of one adds nothing but chance."""
        return max(RATE_SECONDS, self.service_seconds / 2)

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
        return sqrt(max(self.rate, self.variance) / (2 * self.rate_seconds)) * self.service_seconds

    @property
    def counted(self) -> float:
        """Erlangs that arrive, by Little's law."""
        return self.rate * self.service_seconds

    @property
    def lasts(self) -> bool:
        """Whether slots that are always busy tell more of the load than what arrives."""
        # Only where it is more than chance: the greater of two noisy means would always be too much.
        return self.inside > self.counted + SURE_SIGMAS * sqrt(self.inside / (2 * self.rate_seconds))

    @property
    def offered(self) -> float:
        """Offered load in erlangs."""
        return self.inside if self.lasts else self.counted


def observe(
    load: Load,
    pods: Iterable[Pod],
    busy: int,
    idle: int,
    queue: int,
    now: float,
    dispersion: float | None = None,
) -> Load:
    """Return the estimate after the lines in `pods`; called at any moment, it samples once a second.

    A pod that is silent keeps its last arrivals; what its requests took is counted once.
    """
    if now - load.sampled_at < SAMPLE_SECONDS - 1e-6:
        return load
    flows = [pod.report.flow for pod in pods if pod.report is not None]
    sampled = _sample(load, flows, busy, idle, queue, now)
    return _judge_balancer(sampled, dispersion)


def _judge_balancer(load: Load, dispersion: float | None) -> Load:
    """Return the load with what the evenness of the pods tells of the balancer."""
    if dispersion is None:
        return load
    mean = load.dispersion + (min(dispersion, MOST_UNEVEN) - load.dispersion) / BALANCER_SECONDS
    return replace(load, dispersion=mean, pooled=mean < (UNEVEN if load.pooled else EVEN))


def _sample(load: Load, flows: Sequence[Flow], busy: int, idle: int, queue: int, now: float) -> Load:
    elapsed = now - load.sampled_at if load.samples else SAMPLE_SECONDS
    passed = min(elapsed, RATE_SECONDS)
    # To a planner that just began nothing is new: it may have been before its time.
    since = load.sampled_at if load.samples else now
    seen = done = waited = 0.0
    served = held_ms = burnt_ms = computed = lasting = 0
    overflowing = False
    for flow in flows:
        seen += flow.arrivals
        done += flow.completions
        lasting += flow.lasting
        if flow.at > since:
            served += flow.served
            held_ms += flow.held
            burnt_ms += flow.burnt
            waited += flow.waited
            computed += flow.computed
        if flow.overflowed_at > since:
            overflowing = True
    if overflowing:
        # What was lost was not counted: less than before says nothing.
        seen = max(seen, load.rate)
    held, burnt = held_ms / 1000, burnt_ms / 1000
    samples = load.samples + 1 if load.samples or flows else 0
    # The first samples weigh as much as each other; a mean that starts at zero would be late.
    gain = max(1 - exp(-passed / load.rate_seconds), 1 / max(1, samples - 1))
    batch, anew = gather(load.batch, load.service_seconds, served, held, burnt)
    jump = 0
    if abs(seen - load.rate) > JUMP_SIGMAS * sqrt(max(load.rate, load.variance, 1.0) / passed):
        jump = 1 if seen > load.rate else -1
        # Where requests take another time now as well, others come than before: of them nothing is known, and
        # the rate of the one kind times the time of the other is nobody's load.
        begins = anew or jump == load.jump
        gain = 1.0 if begins else max(gain, 0.5)
        samples = 2 if begins else samples
    # Few completions are no mean: each is worth keeping until there are enough.
    fade = exp(-passed / SERVICE_SECONDS) if load.served > LEAST_SERVED else 1.0
    slow_fade = exp(-min(elapsed, KIND_SECONDS) / KIND_SECONDS)
    still = queue > 0 and idle == 0 and abs(queue - load.queue_before) <= max(1.0, 0.1 * done * passed)
    return Load(
        sampled_at=now,
        samples=samples,
        rate=load.rate + gain * (seen - load.rate),
        variance=load.variance + ((seen - load.rate) ** 2 - load.variance) * passed / VARIANCE_SECONDS,
        # While nothing was completed, nothing else tells of the load.
        inside=load.inside + gain * ((lasting if load.served else busy) - load.inside),
        served=batch.served if anew else load.served * fade + served,
        held=batch.held if anew else load.held * fade + held,
        burnt=batch.burnt if anew else load.burnt * fade + burnt,
        batch=batch,
        waited=load.waited * slow_fade + waited / 1000,
        computed=load.computed * slow_fade + computed / 1000,
        dispersion=load.dispersion,
        pooled=load.pooled,
        overflowing=overflowing,
        held_back=load.held_back + passed if still else 0.0,
        queue_before=queue,
        jump=jump,
    )
