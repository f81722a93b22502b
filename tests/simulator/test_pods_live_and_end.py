"""The life of simulated pods: start-up, endpoints, quiesce, drain, and the requests on the way."""

from __future__ import annotations

from stand_ins import effective, pods, scripted

from mpm_operator.core.plan import Control, Plan, Rebalance
from mpm_operator.core.snapshot import PodPhase, PodState, Snapshot
from mpm_operator.simulator.pod import Pod
from mpm_operator.simulator.run import simulate
from mpm_operator.simulator.scenario import Episode, Scenario


def test_new_pod_serves_after_its_start_up_time() -> None:
    scenario = Scenario(service_s=0.01, startup_s=8, warm_up_s=0)
    result = simulate([10.0] * 20, effective(), scenario, pods(lambda now: 1))
    assert [second.ready for second in result.seconds] == [0] * 7 + [1] * 13
    assert 60 <= result.lost <= 100  # 8 s × 10/s: nobody listens before
    assert result.requests - result.lost > 100
    assert result.violations_percent == round(100 * result.lost / result.requests, 3)
    assert result.pod_seconds == 20


def test_requests_above_the_backlog_are_lost_and_counted() -> None:
    scenario = Scenario(service_s=10.0, startup_s=0, warm_up_s=0)
    result = simulate([10.0] * 20, effective(1, backlog=5), scenario, pods(lambda now: 1))
    assert result.requests - result.lost <= 1 + 5 + 10
    assert result.lost > 100


def test_requests_that_still_wait_at_the_end_are_late() -> None:
    scenario = Scenario(service_s=1000.0, startup_s=0, warm_up_s=0)
    result = simulate([10.0] * 10, effective(1), scenario, pods(lambda now: 1))
    assert result.violations_percent > 90
    assert result.lost == 0


def test_ended_pod_finishes_what_it_has() -> None:
    scenario = Scenario(service_s=2.0, startup_s=1, warm_up_s=20)
    result = simulate([20.0] * 60, effective(), scenario, pods(lambda now: 4 if now < 40 else 3))
    assert result.in_flight_on_victims > 0
    assert result.cut == result.lost == 0
    assert result.seconds[-1].pods == 3
    assert 3 * 60 + 20 + 5 <= result.pod_seconds <= 3 * 60 + 20 + 30  # drain delay, then its requests


def test_door_of_an_ended_pod_stays_open_while_a_slow_balancer_sends_connections() -> None:
    """Told to end 20 s into the measured time, with 2 s to accept: who comes late is served all the same."""
    slow = Scenario(service_s=0.1, startup_s=1, warm_up_s=20, endpoint_lag_s=12)
    policy = pods(lambda now: 2 if now < 40 else 1)
    late = simulate([20.0] * 60, effective(drain_delay=2), slow, policy)
    assert late.cut == late.lost == 0
    # The lag, 2 s without anybody, and the time to empty the backlog.
    assert 60 + 20 + 12 + 1.5 <= late.pod_seconds <= 60 + 20 + 12 + 3.5
    never = Scenario(service_s=0.1, startup_s=1, warm_up_s=20, endpoint_lag_s=1000)
    bound = simulate([20.0] * 60, effective(drain_delay=2, grace=20), never, policy)
    assert 60 + 20 + 12 <= bound.pod_seconds <= 60 + 20 + 12 + 2  # half the graceful timeout at most


def test_ended_pod_counts_until_its_object_is_gone() -> None:
    policy = pods(lambda now: 2 if now < 40 else 1)
    at_once, later = (
        simulate([1.0] * 60, effective(), Scenario(startup_s=1, warm_up_s=20, ending_s=ending), policy)
        for ending in (0.0, 7.0)
    )
    assert later.pod_seconds == at_once.pod_seconds + 7


def test_requests_longer_than_the_grace_are_cut() -> None:
    scenario = Scenario(service_s=100.0, startup_s=1, warm_up_s=10)
    policy = pods(lambda now: 2 if now < 20 else 1)
    result = simulate([1.0] * 60, effective(grace=3), scenario, policy)
    assert 0 < result.cut <= result.in_flight_on_victims + 6


def test_starting_pods_are_ended_first_and_then_the_youngest() -> None:
    policy, seen = scripted({5: Plan(3, 3), 20: Plan(4, 4), 22: Plan(3, 3), 30: Plan(2, 2)}, pods_always=2)
    simulate([1.0] * 60, effective(), Scenario(startup_s=8, warm_up_s=0), policy)
    ended = {pod.name for snapshot in seen for pod in snapshot.pods if pod.phase is PodPhase.TERMINATING}
    assert [pod.name for pod in seen[-1].pods] == ["pod-00000", "pod-00001"]
    assert ended == {
        "pod-00002"
    }  # the fourth had not begun to serve: it went at once, before anything that did


def test_quiesced_pod_leaves_the_endpoints_drains_and_comes_back_when_nobody_renews() -> None:
    policy, seen = scripted({20: Plan(2, 2, quiesce=("pod-00000",))}, pods_always=2)
    simulate([10.0] * 80, effective(), Scenario(startup_s=1, warm_up_s=0), policy)
    states = [
        (s.pods[0].report.state, s.pods[0].phase, s.pods[0].in_endpoints)
        for s in seen
        if s.pods and s.pods[0].report
    ]
    order = list(dict.fromkeys(states))
    assert order[0] == (PodState.SERVING, PodPhase.READY, True)
    assert (PodState.DRAINED, PodPhase.UNREADY, False) in order
    assert states[-1] == (PodState.SERVING, PodPhase.READY, True)


def test_drained_victim_goes_with_nothing_in_flight() -> None:
    plans = {
        20: Plan(2, 2, quiesce=("pod-00000",)),
        30: Plan(1, 2, quiesce=("pod-00000",), victims=("pod-00000",)),
        32: Plan(1, 1),
    }
    policy, seen = scripted(plans, pods_always=2)
    result = simulate([10.0] * 60, effective(), Scenario(startup_s=1, warm_up_s=0), policy)
    assert result.in_flight_on_victims == 0
    assert [pod.name for pod in seen[-1].pods] == ["pod-00001"]
    assert result.scale_writes == 2  # the creation, and the victim's end
    assert any(pod.deletion_cost == -1000 for snapshot in seen for pod in snapshot.pods)


def test_threads_burst_up_to_the_ceiling_while_requests_wait() -> None:
    control = Control("pod-00000", {"threadsCeiling": 64})
    policy, seen = scripted({5: Plan(1, 1, controls=(control,))}, pods_always=1)
    scenario = Scenario(service_s=1.0, startup_s=1, warm_up_s=10, episodes=(Episode(10, 30, 5.0),))
    result = simulate([10.0] * 120, effective(), scenario, policy)
    threads = [s.pods[0].report.threads_per_child for s in seen if s.pods and s.pods[0].report]
    assert threads[0] == 25
    assert max(threads) > 45
    assert threads[-1] < max(threads)  # calm again: back to what was asked for
    without, _ = scripted({}, pods_always=1)
    assert (
        simulate([10.0] * 120, effective(), scenario, without).violations_percent > result.violations_percent
    )


def test_cpu_contention_stretches_requests() -> None:
    easy = Scenario(service_s=1.0, startup_s=1, warm_up_s=10)
    hard = Scenario(service_s=1.0, startup_s=1, warm_up_s=10, cpu_s=0.09)
    assert simulate([15.0] * 60, effective(), easy, pods(lambda now: 1)).violations_percent < 5
    assert simulate([15.0] * 60, effective(), hard, pods(lambda now: 1)).violations_percent > 20


def test_a_server_uses_one_cpu_however_many_the_pod_may_use() -> None:
    scenarios = (
        Scenario(service_s=1.0, startup_s=1, warm_up_s=10, cpu_s=0.09, cpu_quota=quota) for quota in (1, 8)
    )
    one, many = (simulate([15.0] * 60, effective(), scenario, pods(lambda now: 1)) for scenario in scenarios)
    assert one.violations_percent == many.violations_percent


def test_threads_come_at_the_beat_of_the_supervisor() -> None:
    pod = Pod(0, 0.0, effective(1))
    pod.full(10.0)
    assert pod.decides_at(10.03) == 10.25  # it has just decided, with nobody waiting
    pod.full(10.2)
    assert pod.decides_at(10.21) == 10.25  # to be full again begins no new period
    assert pod.decides_at(10.26) == 10.5
    pod.burst(10.25)
    assert pod.decides_at(10.25) == 10.5


def test_line_that_shows_a_full_pod_is_taken_back_when_a_slot_is_idle() -> None:
    """Full for a tenth of a second in each: no planner takes it for the whole of it."""
    idle = []

    def policy(snapshot: Snapshot, now: float) -> Plan:
        if now.is_integer() and snapshot.pods and (report := snapshot.pods[0].report):
            idle.append(report.idle)
        return Plan(desired=1, replicas=1, due=now + 1)

    simulate([1.0] * 200, effective(1), Scenario(service_s=0.1, startup_s=0.5, warm_up_s=0), policy)
    # Lines that stood for the rest of their second would say a half.
    assert sum(idle) / len(idle) > 0.8


def test_another_dealing_is_another_luck_with_the_same_requests() -> None:
    scenarios = [Scenario(service_s=1.0, startup_s=1, warm_up_s=20, dealing=dealing) for dealing in (1, 1, 2)]
    results = [simulate([60.0] * 100, effective(), one, pods(lambda now: 3)) for one in scenarios]
    assert results[0].p99_wait_ms == results[1].p99_wait_ms != results[2].p99_wait_ms
    assert len({result.requests for result in results}) == 1


def test_lost_lines_leave_the_last_one_standing() -> None:
    policy, seen = scripted({}, pods_always=1)
    simulate([1.0] * 100, effective(), Scenario(startup_s=1, warm_up_s=0, stat_loss=0.5), policy)
    ages = [s.pods[0].report.at for s in seen if s.pods and s.pods[0].report]
    assert 25 <= len(set(ages)) <= 75


def test_kept_connections_stay_until_they_are_rebalanced() -> None:
    """Connections stick to the old pod; asked to let go of half, it does."""
    plans = {60: Plan(2, 2, rebalance=(Rebalance("pod-00000", 0.5),))}
    policy, seen = scripted({5: Plan(2, 2), **plans}, pods_always=1)
    simulate([100.0] * 100, effective(), Scenario(startup_s=1, warm_up_s=0, clients=50), policy)
    before, after = (
        next(s for s in seen if s.pods and s.pods[0].report and s.pods[0].report.at >= at)
        for at in (59.0, 61.0)
    )
    assert before.pods[0].report.keep_alive > after.pods[0].report.keep_alive  # type: ignore[union-attr]
