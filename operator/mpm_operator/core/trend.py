"""Where the load goes: how many more requests a second there will be when a pod asked for now is ready.

A rise is one only where chance does not explain it, and it counts as far as earlier ones came true: a load
that goes up and down by itself promises much and keeps little.
"""

from __future__ import annotations

from math import exp, sqrt
from typing import TYPE_CHECKING

from msgspec import Struct

from .estimator import RATE_SECONDS

if TYPE_CHECKING:
    from .estimator import Load

TREND_SECONDS = 30.0
"""Time constant of the mean that the rate is held against: under a steady rise it is so late."""
SURE_SIGMAS = 2.5
CHANCE = TREND_SECONDS / (2 * RATE_SECONDS * (RATE_SECONDS + TREND_SECONDS))
"""Variance of the rate's distance from that mean, as a share of that of a second's arrivals: the energy of
the two filters in a row."""
AHEAD_SECONDS = 2 * TREND_SECONDS
"""Looked ahead at most: what a load did in half a minute says little of where it is in four."""
PROMISES = 10
"""Promises over which the trust in them changes."""


class Trend(Struct, frozen=True):
    """What is known of the direction; `rise` is the result."""

    at: float = float("-inf")
    rate: float = 0.0
    mean: float = 0.0
    """Mean of the rate over TREND_SECONDS."""
    rise: float = 0.0
    """Requests a second that come on top until a pod asked for now is ready, or in AHEAD_SECONDS where that
    is sooner; 0 = no trend."""
    promise: tuple[float, float, float] | None = None
    """When the rise that was promised last is due, the rate then, and the rise."""
    trust: float = 1.0
    """Share of the promised rises that came, on average: 0 to 1."""


def follow(trend: Trend, load: Load, startup: float) -> Trend:
    """Return the trend after the estimator's last sample; `startup` = seconds until a pod is ready."""
    now = load.sampled_at
    if now <= trend.at:
        return trend
    if load.samples < 2:
        return Trend(at=now, rate=load.rate, mean=load.rate, trust=trend.trust)
    # A jump is no trend: it moves the mean as far as the rate.
    mean = trend.mean + (load.rate - trend.rate if load.jump else 0.0)
    mean += (1 - exp(-min(now - trend.at, TREND_SECONDS) / TREND_SECONDS)) * (load.rate - mean)
    # The rate itself is late by RATE_SECONDS.
    ahead = min(startup, AHEAD_SECONDS) + RATE_SECONDS
    slope = (load.rate - mean) / TREND_SECONDS
    # After a jump the rate is a mean of few samples.
    chance = sqrt(max(CHANCE, 1 / load.samples) * max(load.rate, load.variance)) / TREND_SECONDS
    promised = slope * ahead if slope > SURE_SIGMAS * chance and not load.jump else 0.0
    promise, trust = trend.promise, trend.trust
    if promise is not None and now >= promise[0]:
        came = (load.rate - promise[1]) / promise[2]
        trust += (min(max(came, 0.0), 1.0) - trust) / PROMISES
        promise = None
    if promise is None and promised > 0:
        promise = (now + ahead, load.rate, promised)
    return Trend(at=now, rate=load.rate, mean=mean, rise=trust * promised, promise=promise, trust=trust)
