"""The requests of a trace: when each arrives and how long it holds a slot; one seed, one stream for all."""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING

from .scenario import Distribution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .scenario import Scenario

LOGNORMAL_SIGMA = math.sqrt(math.log(1 + 2.0**2))
"""Sigma of the logarithm for a coefficient of variation of 2."""


def requests(rates: Sequence[float], scenario: Scenario) -> Iterator[tuple[float, float]]:
    """Yield (arrival, service time) in seconds: Poisson within each second of `rates`, in order of arrival.

    Arrivals and service times come from streams of their own and a request carries its service time from the
    start, so that two policies meet the very same requests (common random numbers).
    """
    uniform = Random(f"arrivals {scenario.seed}").random
    draw = _service(scenario, Random(f"service {scenario.seed}"))
    log = math.log
    arrival = 0.0
    for second, rate in enumerate(rates):
        if rate <= 0:
            continue
        mean = mean_service(scenario, second - scenario.warm_up_s)
        end = second + 1.0
        # Exponential gaps have no memory: each second may begin anew.
        arrival = second - log(1.0 - uniform()) / rate
        while arrival < end:
            yield arrival, draw() * mean
            arrival -= log(1.0 - uniform()) / rate


def _service(scenario: Scenario, random: Random) -> Callable[[], float]:
    """Return a draw of mean 1."""
    if scenario.distribution is Distribution.LOGNORMAL:
        gauss = random.gauss
        mu = -(LOGNORMAL_SIGMA**2) / 2
        return lambda: math.exp(gauss(mu, LOGNORMAL_SIGMA))
    uniform, log = random.random, math.log
    return lambda: -log(1.0 - uniform())


def mean_service(scenario: Scenario, second: int) -> float:
    """Return the mean service time in that second of the trace; in the warm-up it is below 0."""
    mean = scenario.service_s
    for episode in scenario.episodes:
        if episode.start <= second < episode.end:
            mean *= episode.factor
    return mean
