"""How well the planner knows the load, against what its window could know at best; and what a run costs.

The estimate is compared with the rate that the trace asked for. Two floors: `poisson`, the error of a mean
that forgets with the estimator's time constant on a stream of that constant rate, sqrt(rate / 2T); and
`window`, that of the same mean over the exact arrivals of every second, lag behind the trace included: what
the estimator would show if scoreboards told everything at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import exp, sqrt
from typing import TYPE_CHECKING

from policy_jobs import directives

from mpm_operator.core.directives import normalise
from mpm_operator.core.estimator import RATE_SECONDS
from mpm_operator.core.planner import plan
from mpm_operator.core.spec import App, MPMDirectives, WebServerSpec
from mpm_operator.simulator.load import requests
from mpm_operator.simulator.run import simulate
from mpm_operator.simulator.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mpm_operator.core.effective import Effective
    from mpm_operator.core.plan import Plan
    from mpm_operator.core.snapshot import Snapshot

WARM_UP_S = 240


@dataclass(frozen=True, slots=True)
class Errors:
    """Root mean square errors of the arrival rate, as shares of the mean rate, and the seconds of the run."""

    seen: float
    poisson: float
    window: float
    mean: float
    """Requests a second."""
    length_s: int
    run_s: float
    """What the run took."""


class Listener:
    """The planner; it notes the estimate at the end of each second."""

    def __init__(self) -> None:
        self.rates: dict[int, float] = {}

    def __call__(self, snapshot: Snapshot, now: float) -> Plan:
        made = plan(snapshot, now)
        if made.memory is not None:
            self.rates[int(now)] = made.memory.load.rate
        return made


def errors(
    rates: Sequence[float], effective: Effective | None = None, skip: int = 0, seed: int = 1
) -> Errors:
    """Replay `rates` and return the errors, the first `skip` seconds left out."""
    scenario = Scenario(service_s=1.0, seed=seed, warm_up_s=WARM_UP_S)
    listener = Listener()
    began = time.perf_counter()
    simulate(rates, effective or directives(25, burst=True), scenario, listener)
    spent = time.perf_counter() - began
    whole = [*[rates[0]] * WARM_UP_S, *rates]
    arrived = [0] * (len(whole) + 1)
    for arrival, _ in requests(whole, scenario):
        arrived[int(arrival)] += 1
    gain = 1 - exp(-1 / RATE_SECONDS)
    mean, squares, count = rates[0], [0.0, 0.0, 0.0], 0
    for second, rate in enumerate(whole):
        mean += gain * (arrived[second] - mean)
        if second < WARM_UP_S + skip:
            continue
        # What is shown at the end of a second was asked for within it.
        shown = listener.rates.get(second + 1)
        if shown is None:
            continue
        count += 1
        squares[0] += (shown - rate) ** 2
        squares[1] += rate / (2 * RATE_SECONDS)
        squares[2] += (mean - rate) ** 2
    usual = sum(whole[WARM_UP_S + skip :]) / max(1, len(whole) - WARM_UP_S - skip)
    seen, poisson, window = (sqrt(square / max(1, count)) / usual for square in squares)
    return Errors(seen, poisson, window, usual, len(rates), spent)


def saturated() -> Errors:
    """Return the errors while four full pods are asked for 20 % more than they can do, and backlogs fill."""
    mpm = MPMDirectives(threads_per_child=25, max_request_workers=100)
    effective = normalise(WebServerSpec(app=App(module="app:app"), mpm=mpm))[0]
    return errors([60.0] * 60 + [120.0] * 90, effective, skip=80)
