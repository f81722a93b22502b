"""A fixed number of pods under a constant load is an M/M/K queue: the model must wait as Erlang says."""

from __future__ import annotations

import math

import pytest
from stand_ins import effective, pods

from mpm_operator.core.staffing import waiting_probability
from mpm_operator.simulator.run import simulate
from mpm_operator.simulator.scenario import Balancer, Distribution, Scenario


def late_share(load: float, slots: int, slo_s: float, **setting: object) -> float:
    """Measured share of requests that waited longer than `slo_s`; service 1 s, `load` erlangs a pod."""
    count = int(setting.pop("pods", 4))  # type: ignore[call-overload]
    scenario = Scenario(service_s=1.0, slo_s=slo_s, warm_up_s=60, **setting)  # type: ignore[arg-type]
    rates = [load * count] * 4000
    result = simulate(rates, effective(slots, backlog=65_535), scenario, pods(lambda now: count))
    return result.violations_percent / 100


@pytest.mark.parametrize(("slots", "load"), [(5, 3.5), (10, 7.5), (25, 20.0)])
@pytest.mark.parametrize("slo_s", [0.0, 0.25])
def test_random_balancer_makes_every_pod_a_queue_of_its_own(slots: int, load: float, slo_s: float) -> None:
    expected = waiting_probability(slots, load) * math.exp(-(slots - load) * slo_s)
    assert late_share(load, slots, slo_s) == pytest.approx(expected, rel=0.08)


@pytest.mark.parametrize(("slots", "load"), [(5, 4.0), (10, 8.8)])
def test_least_busy_balancer_is_nearly_one_queue(slots: int, load: float) -> None:
    """Nobody waits while any pod has a free slot. Queues form apart, so a slot may idle beside another pod's
    queue: requests wait a bit less often than in one queue, and much less often than with a queue a pod."""
    expected = waiting_probability(4 * slots, 4 * load)
    measured = late_share(load, slots, 0.0, balancer=Balancer.LEAST_BUSY)
    assert expected * 0.75 <= measured <= expected
    assert measured < 0.6 * waiting_probability(slots, load)


def test_one_pod_waits_the_same_under_both_balancers() -> None:
    random = late_share(4.0, 5, 0.1, pods=1)
    assert random == late_share(4.0, 5, 0.1, pods=1, balancer=Balancer.LEAST_BUSY)


def test_lognormal_service_has_the_same_mean_and_waits_longer() -> None:
    """More variance means longer waits at the same load (Pollaczek and Khinchine)."""
    exponential = late_share(3.5, 5, 1.0)
    assert late_share(3.5, 5, 1.0, distribution=Distribution.LOGNORMAL) > 1.3 * exponential


def test_keep_alive_clients_bring_the_same_load() -> None:
    """With many clients a connection changes nothing about when and where requests arrive."""
    expected = waiting_probability(10, 7.0)
    measured = late_share(7.0, 10, 0.0, clients=4000)
    assert measured == pytest.approx(expected, rel=0.35)
