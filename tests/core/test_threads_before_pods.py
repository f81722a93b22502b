"""Where pods may burst, the wait that was promised is a promise about the burst: fewer pods keep it."""

from __future__ import annotations

import pytest

from mpm_operator.core.law import BURST_PERCENT, staff
from mpm_operator.core.staffing import greatest_load, pods_for, waiting_probability

PERCENT, SLOTS, BURST = 5, 25, 64


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("load", [30.0, 250.0, 2000.0])
def test_room_for_a_burst_saves_pods_whoever_deals_the_connections(load: float, pooled: bool) -> None:
    assert staff(load, SLOTS, BURST, PERCENT, pooled) <= pods_for(load, SLOTS, PERCENT, pooled=pooled)
    assert staff(250.0, SLOTS, BURST, PERCENT, pooled) < pods_for(250.0, SLOTS, PERCENT, pooled=pooled)


@pytest.mark.parametrize("load", [30.0, 250.0, 400.0])
def test_one_queue_of_all_slots_needs_a_burst_no_more_often_than_allowed(load: float) -> None:
    pods = staff(load, SLOTS, BURST, PERCENT, True)
    assert waiting_probability(pods * SLOTS, load) <= BURST_PERCENT / 100
    assert greatest_load(pods * BURST, PERCENT) >= load


@pytest.mark.parametrize("pooled", [False, True])
def test_without_room_nothing_is_saved(pooled: bool) -> None:
    assert staff(250.0, SLOTS, SLOTS, PERCENT, pooled) == pods_for(250.0, SLOTS, PERCENT, pooled=pooled)
