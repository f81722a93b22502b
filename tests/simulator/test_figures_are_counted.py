"""The figures of a run: what each counts, and that the same seed gives the same run."""

from __future__ import annotations

from stand_ins import effective, pods

from mpm_operator.core.plan import Decision
from mpm_operator.simulator.measures import Measures
from mpm_operator.simulator.run import simulate
from mpm_operator.simulator.scenario import Balancer, Scenario

STEADY = Decision("Steady", "")


def test_same_seed_same_run_and_another_seed_another() -> None:
    def run(seed: int) -> object:
        scenario = Scenario(seed=seed, service_s=1.0, clients=50, stat_loss=0.1)
        return simulate([18.0] * 120, effective(), scenario, pods(lambda now: 1))

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_two_policies_meet_the_same_requests() -> None:
    scenario = Scenario(service_s=1.0)
    few = simulate([50.0] * 120, effective(), scenario, pods(lambda now: 2))
    many = simulate([50.0] * 120, effective(), scenario, pods(lambda now: 9))
    assert few.requests == many.requests
    assert few.violations_percent > many.violations_percent


def test_ideal_pod_seconds_round_each_second_up() -> None:
    result = simulate([10.0, 25.0, 26.0, 0.0], effective(), Scenario(service_s=1.0), pods(lambda now: 1))
    assert result.ideal_pod_seconds == 1 + 1 + 2 + 0


def test_needed_peak_depends_on_the_balancer() -> None:
    def peak(balancer: Balancer) -> int:
        scenario = Scenario(service_s=1.0, balancer=balancer, startup_s=0)
        return simulate([300.0], effective(), scenario, pods(lambda now: 20)).needed_peak_pods

    assert peak(Balancer.RANDOM) == 18  # 300 erlangs / (0.68 × 25)
    assert peak(Balancer.LEAST_BUSY) == 14  # 300 + 1.8 × sqrt(300) slots


def test_warm_up_is_not_counted() -> None:
    cold = simulate([100.0] * 10, effective(), Scenario(warm_up_s=0), pods(lambda now: 1))
    warm = simulate([100.0] * 10, effective(), Scenario(warm_up_s=60), pods(lambda now: 1))
    assert cold.violations_percent > 50
    assert warm.violations_percent == warm.lost == warm.scale_writes == 0
    assert warm.pod_seconds == 10


def test_flap_is_a_change_of_direction_within_two_minutes() -> None:
    def flaps(*targets: tuple[float, int]) -> int:
        measures = Measures(start=100.0, seconds=1000, slo_s=0.25)
        for now, wanted in targets:
            measures.wanted(now, wanted, STEADY)
        return measures.flaps()

    assert flaps((100, 1), (110, 2), (120, 3)) == 0
    assert flaps((100, 1), (110, 2), (120, 1)) == 1
    assert flaps((100, 1), (110, 2), (120, 1), (130, 2)) == 2
    assert flaps((100, 1), (110, 2), (300, 1)) == 0
    assert flaps((0, 1), (50, 2), (90, 1)) == 0  # before the measured time
    assert flaps((100, 2), (110, 2), (120, 1)) == 0


def test_trace_without_requests_needs_nothing_and_divides_by_nothing() -> None:
    result = simulate([0.0] * 10, effective(), Scenario(), pods(lambda now: 1))
    assert (result.requests, result.violations_percent, result.cost, result.needed_peak_pods) == (
        0,
        0.0,
        0.0,
        1,
    )
