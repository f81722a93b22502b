"""Slots for a load: Erlang's delay formula against published values."""

from __future__ import annotations

from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpm_operator.core.staffing import EXACT_SLOTS, greatest_load, pods_for, waiting_probability


@pytest.mark.parametrize(
    ("slots", "load", "probability"),
    [
        (1, 0.5, 0.5),  # M/M/1: the utilisation
        (2, 1.0, 1 / 3),
        (10, 8.0, 0.4092),
        (8, 5.0, 0.167),
        (3, 2.0, 0.4444),
        (5, 5.0, 1.0),
        (5, 0.0, 0.0),
    ],
)
def test_the_waiting_probability_is_erlangs(slots: int, load: float, probability: float) -> None:
    assert waiting_probability(slots, load) == pytest.approx(probability, abs=5e-4)


@pytest.mark.parametrize(
    ("slots", "five", "one"),
    [
        (5, 0.38, 0.25),
        (10, 0.53, 0.41),
        (16, 0.61, 0.51),
        (25, 0.68, 0.59),
        (64, 0.80, 0.73),
        (200, 0.88, 0.84),
    ],
)
def test_the_greatest_utilisation_grows_with_the_slots_that_share_a_queue(
    slots: int, five: float, one: float
) -> None:
    assert greatest_load(slots, 5) / slots == pytest.approx(five, abs=0.01)
    assert greatest_load(slots, 1) / slots == pytest.approx(one, abs=0.01)


@pytest.mark.parametrize(("load", "beta"), [(10, 2.2), (50, 1.98), (200, 1.84), (1000, 1.77)])
def test_a_pooled_queue_needs_the_square_root_of_the_load_on_top(load: float, beta: float) -> None:
    slots = pods_for(load, 1, 5, pooled=True)
    assert slots == pytest.approx(load + beta * sqrt(load), abs=1)


def test_the_large_system_form_joins_the_exact_one_without_a_step() -> None:
    exact, large = greatest_load(EXACT_SLOTS, 5), greatest_load(EXACT_SLOTS + 1, 5)
    assert large - exact == pytest.approx(1, abs=1.5)


@settings(deadline=None)
@given(
    load=st.floats(0, 3000),
    slots=st.sampled_from([1, 5, 25, 64]),
    percent=st.integers(1, 50),
    pooled=st.booleans(),
)
def test_the_pods_are_enough_and_one_less_is_not(load: float, slots: int, percent: int, pooled: bool) -> None:
    pods = pods_for(load, slots, percent, pooled=pooled)
    queue = pods * slots if pooled else slots
    share = load if pooled else load / pods
    assert share <= greatest_load(queue, percent) * (1 + 1e-6)
    if pods > 1:
        queue = (pods - 1) * slots if pooled else slots
        share = load if pooled else load / (pods - 1)
        assert share >= greatest_load(queue, percent) * (1 - 1e-6)
