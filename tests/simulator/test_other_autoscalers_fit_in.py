"""The peers of the benchmark by formula: what each is known for, on loads where it can be said beforehand."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from stand_ins import effective

from mpm_operator.simulator.run import simulate
from mpm_operator.simulator.scenario import Balancer, Scenario

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
peers: Any = importlib.import_module("policy_peers")

CALM = [100.0] * 300
JUMP = [60.0] * 60 + [300.0] * 120


def final_pods(policy: Any, rates: list[float], warm_up: int = 600) -> int:
    scenario = Scenario(service_s=1.0, balancer=Balancer.LEAST_BUSY, warm_up_s=warm_up)
    return simulate(rates, effective(), scenario, policy).seconds[-1].pods


@pytest.mark.parametrize(
    ("name", "target", "pods"), [("KPA", 0.7, 6), ("KPA", 0.5, 9), ("Fixed", 0.7, 6), ("HPA", 0.6, 7)]
)
def test_targets_divide_the_load(name: str, target: float, pods: int) -> None:
    """100 requests in flight / (target × 25), a pod more or less for noise and tolerance."""
    assert pods - 1 <= final_pods(getattr(peers, name)(target), CALM) <= pods + 1


def test_kpa_takes_a_backlog_for_steady_load_and_overshoots() -> None:
    result = simulate(JUMP, effective(), Scenario(service_s=1.0, warm_up_s=300), peers.KPA())
    assert result.peak_pods > 3 * result.needed_peak_pods


def test_hpa_answers_a_jump_late() -> None:
    slow = simulate(JUMP, effective(), Scenario(service_s=1.0, warm_up_s=300), peers.HPA())
    quick = simulate(JUMP, effective(), Scenario(service_s=1.0, warm_up_s=300), peers.KPA())
    assert slow.violations_percent > 2 * quick.violations_percent


def test_apache_keeps_its_band_of_idle_slots() -> None:
    """75 to 250 idle slots beside 100 busy ones."""
    assert 7 <= final_pods(peers.Apache(), CALM) <= 14


def test_beats_are_whole_multiples_however_irregular_the_looks() -> None:
    every = peers.Every(2)
    looks = [0.0, 1.9, 2.0, 2.3, 3.99999999, 4.1, 9.0]
    assert [every.is_due(now) for now in looks] == [True, False, True, False, True, False, True]
    assert every.last == 8
