"""A service time that is another is known in seconds; one that only scatters is left alone."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpm_operator.core.service import BATCH, Batch, gather

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TIMES: dict[str, Callable[[random.Random], float]] = {
    "constant": lambda dice: 1.0,
    "exponential": lambda dice: dice.expovariate(1.0),
    "lognormal": lambda dice: dice.lognormvariate(-0.8047, 1.2686),  # coefficient of variation 2
}


def changes(samples: Sequence[Sequence[float]], usual: float) -> list[int]:
    """Samples after which the mean begins anew; it is followed as the estimator does it."""
    batch, served, held, found = Batch(), usual and 1.0, usual, []
    for number, times in enumerate(samples):
        batch, anew = gather(batch, held / served if served else 0.0, len(times), sum(times), 0.0)
        if anew:
            found.append(number)
        served = batch.served if anew else served * 0.967 + len(times)
        held = batch.held if anew else held * 0.967 + sum(times)
    return found


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(sorted(TIMES)), st.integers(1, 60))
def test_scatter_is_no_change(seed: int, kind: str, rate: int) -> None:
    dice = random.Random(seed)
    samples = [[TIMES[kind](dice) for _ in range(rate)] for _ in range(600)]
    assert len(changes(samples, 1.0)) <= 3


@pytest.mark.parametrize("kind", sorted(TIMES))
@pytest.mark.parametrize("factor", [0.3, 2.0, 5.0])
def test_another_service_time_is_known_after_two_batches(kind: str, factor: float) -> None:
    dice = random.Random(5)
    samples = [[TIMES[kind](dice) * (factor if s >= 200 else 1) for _ in range(300)] for s in range(230)]
    found = changes(samples, 1.0)
    assert found
    assert 201 <= found[0] <= 204


def rare(dice: random.Random) -> float:
    """One request in 2,000 takes half a minute, the others 50 ms."""
    return dice.expovariate(1 / 30.0) if dice.random() < 0.0005 else dice.expovariate(1 / 0.05)


@pytest.mark.parametrize("seed", range(8))
def test_rare_long_requests_are_no_change(seed: int) -> None:
    """Each makes a whole batch long, and now and then there are two in a row. It takes a minute to learn."""
    dice = random.Random(seed)
    found = changes([[rare(dice) for _ in range(100)] for _ in range(1200)], 0.065)
    assert [number for number in found if number >= 60] == []


@pytest.mark.parametrize("seed", range(4))
def test_a_change_of_all_requests_is_known_beside_rare_long_ones(seed: int) -> None:
    dice = random.Random(seed)
    samples = [[rare(dice) + (2.0 if s >= 300 else 0.0) for _ in range(100)] for s in range(310)]
    found = changes(samples, 0.065)
    assert found
    assert 301 <= found[0] <= 302


def test_few_completions_are_gathered_first() -> None:
    """Two requests a second are judged once in ten seconds."""
    batch = Batch()
    for _ in range(BATCH // 2 - 1):
        batch, anew = gather(batch, 1.0, 2, 60.0, 0.0)
        assert not anew
    batch, anew = gather(batch, 1.0, 2, 60.0, 0.0)
    assert (anew, batch.row) == (False, 1)
    for _ in range(BATCH // 2):
        assert not anew
        batch, anew = gather(batch, 1.0, 2, 60.0, 0.0)
    assert anew
    assert batch.held / batch.served == pytest.approx(30.0)


def test_batches_on_either_side_are_no_change() -> None:
    batch, anew = Batch(), False
    for turn in range(20):
        batch, anew = gather(batch, 10.0, 100, 100 * (1.0 if turn % 2 else 100.0), 0.0)
        assert not anew
