"""A load that rises is answered before the pods are there, where no threads can be added meanwhile."""

from __future__ import annotations

import random
from math import exp, pi, sin
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpm_operator.core.estimator import RATE_SECONDS, Load
from mpm_operator.core.law import by_load
from mpm_operator.core.snapshot import Pod, PodPhase
from mpm_operator.core.survey import Survey
from mpm_operator.core.trend import AHEAD_SECONDS, TREND_SECONDS, Trend, follow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

STARTUP = 8.0


def trends(
    arrivals: Iterable[float], jumps: frozenset[int] = frozenset(), startup: float = STARTUP
) -> list[Trend]:
    """Trends after each second of `arrivals`, smoothed as the estimator does it."""
    found, trend, rate, variance = [], Trend(), 0.0, 0.0
    for second, seen in enumerate(arrivals):
        gain = max(1 - exp(-1 / RATE_SECONDS), 1 / (second + 1), float(second in jumps))
        variance += ((seen - rate) ** 2 - variance) / 120 if second > 1 else 0.0
        rate += gain * (seen - rate)
        load = Load(
            sampled_at=float(second),
            samples=second + 1,
            rate=rate,
            variance=variance,
            jump=int(second in jumps),
        )
        trend = follow(trend, load, startup)
        assert follow(trend, load, startup) is trend
        found.append(trend)
    return found


@given(st.floats(50, 1000), st.floats(0.01, 0.05))
def test_a_steady_rise_is_foreseen(base: float, share: float) -> None:
    """What is shown is late by the rate's own time constant, and that is made good."""
    slope = base * share
    last = trends(base + slope * max(0, second - 60) for second in range(200))[-1]
    assert last.rate + last.rise == pytest.approx(base + slope * (139 + STARTUP), rel=0.02)
    assert last.trust == pytest.approx(1, abs=0.05)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([20, 100, 400]))
def test_chance_is_no_rise(seed: int, rate: int) -> None:
    dice = random.Random(seed)
    arrivals = [dice.gauss(rate, rate**0.5) for _ in range(900)]
    assert sum(trend.rise > 0 for trend in trends(arrivals)[60:]) <= 90


@pytest.mark.parametrize("after", [0, 1, 5, 20, 60])
def test_a_jump_is_no_rise(after: int) -> None:
    arrivals = [60.0] * 300 + [300.0] * 100
    assert trends(arrivals, frozenset({300}))[300 + after].rise == 0


def test_a_load_that_swings_is_trusted_less_than_one_that_grows() -> None:
    """Promises of a load that turns back before they are due are not kept."""
    turn = 4 * TREND_SECONDS
    swings = trends(500 + 300 * sin(2 * pi * second / turn) for second in range(1800))
    grows = trends(500 + 2.0 * second for second in range(1800))
    assert swings[-1].trust < 0.5 < grows[-1].trust


@pytest.mark.parametrize("startup", [AHEAD_SECONDS, 2 * AHEAD_SECONDS, 600.0])
def test_however_long_pods_start_a_swing_promises_no_more_than_its_height_twice(startup: float) -> None:
    """The slope of two minutes is not carried on for ten."""
    swings = trends((200 + 50 * sin(2 * pi * second / 120) for second in range(1200)), startup=startup)
    assert 0 < max(trend.rise for trend in swings[60:]) <= 200


def test_a_load_that_falls_promises_nothing() -> None:
    assert not any(trend.rise for trend in trends(500.0 - second for second in range(400)))


def wanted(effective: Callable[..., Any], limit: int, rate: float, rise: float) -> int:
    directives = effective({"threadsPerChild": 25, "maxRequestWorkers": 10_000, "threadLimit": limit})
    load = Load(samples=60, rate=rate, inside=rate, served=1000.0, held=1000.0)
    seen = Survey(accepting=[Pod(f"shop-{n}", PodPhase.READY, 0.0) for n in range(5)], slots=125, cpus=1.0)
    return by_load(directives, load, seen, 5, pooled=False, rise=rise).want


def test_a_rise_that_threads_can_take_asks_for_no_pod(effective: Callable[..., Any]) -> None:
    assert wanted(effective, 64, 100.0, 40.0) == wanted(effective, 64, 100.0, 0.0)


def test_a_rise_that_they_cannot_take_asks_for_the_pods_of_then(effective: Callable[..., Any]) -> None:
    assert wanted(effective, 25, 100.0, 40.0) == wanted(effective, 25, 140.0, 0.0)
    assert wanted(effective, 64, 100.0, 900.0) > wanted(effective, 64, 100.0, 0.0)


@given(st.floats(0, 2000), st.floats(0, 500), st.floats(0, 500), st.sampled_from([25, 40, 64]))
def test_more_of_a_rise_never_asks_for_fewer_pods(
    effective: Callable[..., Any], rate: float, rise: float, more: float, limit: int
) -> None:
    assert wanted(effective, limit, rate, rise) <= wanted(effective, limit, rate, rise + more)
