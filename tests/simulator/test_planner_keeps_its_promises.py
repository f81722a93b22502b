"""The planner in the closed loop of the model: what must hold whatever comes, and how it answers a jump."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mpm_operator.core.directives import normalise
from mpm_operator.core.planner import plan
from mpm_operator.core.snapshot import PodPhase
from mpm_operator.core.spec import App, MPMDirectives, Scaling, WebServerSpec
from mpm_operator.simulator.run import simulate
from mpm_operator.simulator.scenario import Balancer, Scenario

if TYPE_CHECKING:
    from mpm_operator.core.effective import Effective
    from mpm_operator.core.plan import Plan
    from mpm_operator.core.snapshot import Snapshot

STEP = [60.0] * 120 + [300.0] * 240 + [60.0] * 360


def directives(workers: int = 5000, window: int = 60) -> Effective:
    mpm = MPMDirectives(threads_per_child=25, max_request_workers=workers)
    scaling = Scaling(scale_down_stabilization_seconds=window)
    return normalise(WebServerSpec(app=App(module="a:b"), mpm=mpm, scaling=scaling))[0]


class Witness:
    """The planner; and the most slots that its pods could have had at any look, ended ones included."""

    def __init__(self) -> None:
        self.most = 0

    def __call__(self, snapshot: Snapshot, now: float) -> Plan:
        boot = snapshot.effective.slots_per_pod
        claims = 0
        for pod in snapshot.pods:
            report = pod.report
            claims += boot if report is None else max(report.threads_ceiling * report.servers, report.total)
        self.most = max(self.most, claims)
        return plan(snapshot, now)


@pytest.mark.parametrize("balancer", list(Balancer))
@pytest.mark.parametrize("stat_loss", [0.0, 0.3])
def test_slots_never_exceed_max_request_workers(balancer: Balancer, stat_loss: float) -> None:
    witness = Witness()
    scenario = Scenario(service_s=1.0, warm_up_s=60, balancer=balancer, stat_loss=stat_loss)
    result = simulate(STEP, directives(workers=200), scenario, witness)
    assert 0 < witness.most <= 200
    assert result.peak_pods <= 8


@pytest.mark.parametrize("clients", [0, 300])
def test_jump_is_answered_without_overshoot_and_nobody_is_cut(clients: int) -> None:
    scenario = Scenario(service_s=1.0, warm_up_s=120, clients=clients)
    result = simulate(STEP, directives(), scenario, plan)
    assert result.violations_percent < 3
    assert result.peak_pods <= 1.3 * result.needed_peak_pods
    assert result.lost == result.cut == result.in_flight_on_victims == 0
    assert result.flaps_per_hour <= 10  # at most two in these twelve minutes
    assert result.seconds[-1].pods < result.peak_pods / 2


def test_constant_load_is_left_alone() -> None:
    result = simulate([20.0] * 600, directives(), Scenario(service_s=1.0, warm_up_s=300), plan)
    assert result.scale_writes == 0
    assert result.violations_percent < 0.1


def test_no_pod_goes_below_min_replicas_when_nothing_comes() -> None:
    seen: list[int] = []

    def watched(snapshot: Snapshot, now: float) -> Plan:
        seen.append(sum(pod.phase is PodPhase.READY for pod in snapshot.pods))
        return plan(snapshot, now)

    result = simulate([100.0] * 60 + [0.0] * 600, directives(), Scenario(service_s=1.0), watched)
    assert result.seconds[-1].pods == 1
    assert min(seen[len(seen) // 2 :]) >= 1
