"""How well the planner knows the load, against what its window could know at best; and what a run costs.

An estimator that forgets over T seconds tells the mean of about so long, and only that can be right or wrong:
`seen` is its distance from the same mean over the rates that the trace asked for, and its floor `poisson` is
what chance leaves of such a mean, sqrt(rate / 2T).

What the load does within that window is a property of the load. `instant` is the distance from the rate of
the very second, and `best` the least that any mean that forgets could reach, its time constant chosen in
hindsight and the exact arrivals of every second given: where `best` is high, nobody knows the load of the
moment.
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
CONSTANTS = (1, 2, 4, 8, 16, 32, 64, 128)
"""Time constants of the means that are tried in hindsight, in seconds."""


@dataclass(frozen=True, slots=True)
class Errors:
    """Root mean square errors of the arrival rate, as shares of the mean rate, and the seconds of the run."""

    seen: float
    poisson: float
    instant: float
    best: float
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
    gains = [1 - exp(-1 / constant) for constant in CONSTANTS]
    asked, means = rates[0], [rates[0]] * len(gains)
    count, seen, poisson, instant, best = 0, 0.0, 0.0, 0.0, [0.0] * len(gains)
    for second, rate in enumerate(whole):
        asked += gain * (rate - asked)
        means = [mean + g * (arrived[second] - mean) for mean, g in zip(means, gains, strict=True)]
        if second < WARM_UP_S + skip:
            continue
        # What is shown at the end of a second was asked for within it.
        shown = listener.rates.get(second + 1)
        if shown is None:
            continue
        count += 1
        seen += (shown - asked) ** 2
        poisson += asked / (2 * RATE_SECONDS)
        instant += (shown - rate) ** 2
        best = [square + (mean - rate) ** 2 for square, mean in zip(best, means, strict=True)]
    usual = sum(whole[WARM_UP_S + skip :]) / max(1, len(whole) - WARM_UP_S - skip)
    shares = (sqrt(square / max(1, count)) / usual for square in (seen, poisson, instant, min(best)))
    return Errors(*shares, usual, len(rates), spent)


def saturated() -> Errors:
    """Return the errors while four full pods are asked for 20 % more than they can do, and backlogs fill."""
    mpm = MPMDirectives(threads_per_child=25, max_request_workers=100)
    effective = normalise(WebServerSpec(app=App(module="app:app"), mpm=mpm))[0]
    return errors([60.0] * 60 + [120.0] * 90, effective, skip=80)
