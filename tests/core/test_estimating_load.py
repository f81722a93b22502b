"""The offered load from scoreboard lines: in requests, not clipped when pods are full, deaf to restarts."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from math import sqrt

import pytest
from msgspec.structs import replace

from mpm_operator.core.estimator import Load, observe
from mpm_operator.core.flow import listen
from mpm_operator.core.snapshot import Pod, PodPhase, PodState, Report


@dataclass
class Counters:
    """One pod's counters, moved by hand; `tick` is a second and a line."""

    name: str = "shop-1"
    boot: str = "a"
    slots: int = 25
    busy: int = 0
    queue: int = 0
    accesses: int = 0
    busy_ms: int = 0
    cpu_ms: int = 0
    overflows: int = 0
    cpu_quota: float = 1.0
    now: float = field(default=100.0)
    last: Report | None = None

    def line(self) -> Pod:
        report = Report(
            at=self.now, boot=self.boot, state=PodState.SERVING, servers=1, threads_per_child=self.slots,
            threads_ceiling=self.slots, busy=self.busy, idle=self.slots - self.busy, total=self.slots,
            queue=self.queue, backlog_limit=511, overflows=self.overflows, connections=0, keep_alive=0,
            accesses=self.accesses, busy_ms=self.busy_ms, cpu_ms=self.cpu_ms, cpu_quota=self.cpu_quota,
            throttled_ms=0, rss=0, memory_limit=0,
        )  # fmt: skip
        self.last = listen(report, self.last)
        return Pod(self.name, PodPhase.READY, 0.0, report=self.last)

    def tick(self, load: Load, seconds: float = 1.0) -> Load:
        self.now += seconds
        return observe(load, [self.line()], self.busy, self.slots - self.busy, self.queue, self.now)

    def steadily(self, load: Load, seconds: int, requests: int, seconds_each: float) -> Load:
        """So many requests in each second."""
        for _ in range(seconds):
            self.serve(requests, seconds_each)
            load = self.tick(load)
        return load

    def serve(self, requests: int, seconds_each: float) -> None:
        self.accesses += requests
        self.busy_ms += round(requests * seconds_each * 1000)


def test_a_steady_stream_is_arrivals_times_service_time() -> None:
    pod, load = Counters(busy=10), Load()
    load = pod.steadily(load, 60, 100, 0.1)
    assert load.rate == pytest.approx(100)
    assert load.service_seconds == pytest.approx(0.1)
    assert load.offered == pytest.approx(10)


def test_a_busy_slot_takes_the_cpu_that_its_requests_took() -> None:
    pod, load = Counters(busy=10), Load()
    for _ in range(10):
        pod.serve(100, 0.1)
        pod.cpu_ms += 100 * 20
        load = pod.tick(load)
    assert load.cpu_share == pytest.approx(0.2)


@pytest.mark.parametrize("quota", [1.0, 8.0])
def test_waits_for_a_servers_only_cpu_are_not_taken_for_waits(quota: float) -> None:
    """A server has one interpreter's lock: CPUs of the node beyond it are nothing it could use."""
    pod, load = Counters(busy=24, cpu_quota=quota), Load()
    for _ in range(10):
        pod.serve(95, 24 / 95)
        pod.cpu_ms += 950
        load = pod.tick(load)
    assert load.waited == load.computed == 0


@pytest.mark.parametrize(("dispersion", "pooled"), [(1.0, False), (0.7, False), (0.1, True)])
def test_evenly_loaded_pods_tell_of_a_balancer_that_looks(dispersion: float, pooled: bool) -> None:
    load = Load()
    for second in range(300):
        load = observe(load, [], 0, 0, 0, 100.0 + second, dispersion)
    assert load.pooled is pooled
    assert observe(load, [], 0, 0, 0, 500.0, None).pooled is pooled


def test_a_restless_load_is_less_sure_than_a_calm_one() -> None:
    """Two streams of 100 requests/s on average; one comes in turns of 60 and 140."""
    calm, restless = (Counters(busy=10), Load()), (Counters(busy=10), Load())
    loads = []
    for (pod, load), turns in ((calm, (100, 100)), (restless, (60, 140))):
        for second in range(300):
            pod.serve(turns[second % 2], 0.1)
            load = pod.tick(load)
        loads.append(load)
    assert loads[0].deviation == pytest.approx(sqrt(100 / 16) * 0.1, rel=0.1)
    assert loads[1].deviation > 2 * loads[0].deviation


def test_the_judgement_of_the_balancer_does_not_flap() -> None:
    load = Load(dispersion=0.5, pooled=True)
    assert observe(load, [], 0, 0, 0, 1.0, 0.5).pooled
    assert not observe(replace(load, pooled=False), [], 0, 0, 0, 1.0, 0.5).pooled


def test_a_moment_at_which_one_pod_has_all_is_not_remembered_for_minutes() -> None:
    load = Load()
    for second in range(120):
        load = observe(load, [], 0, 0, 0, float(second), 1500.0 if second < 3 else 0.1)
    assert load.pooled


def test_a_full_pod_still_shows_what_arrives() -> None:
    """25 slots of 1 s complete 25 a second, 60 a second arrive: the queue grows by the rest."""
    pod, load = Counters(busy=25), Load()
    for _ in range(40):
        pod.serve(25, 1.0)
        pod.queue += 35
        load = pod.tick(load)
    assert load.offered == pytest.approx(60, rel=0.05)


def test_a_backlog_that_only_drains_is_no_load() -> None:
    """A queue of 500 is worked off while 10 a second arrive: completions do not count as arrivals."""
    pod, load = Counters(busy=25, queue=500), Load()
    for _ in range(30):
        pod.serve(25, 1.0)
        pod.queue -= 15
        load = pod.tick(load)
    assert load.rate == pytest.approx(10, rel=0.05)


def test_long_requests_count_before_the_first_of_them_ends() -> None:
    pod, load = Counters(busy=20), Load()
    for _ in range(30):
        load = pod.tick(load)
    assert load.offered == pytest.approx(20, rel=0.01)


def test_a_restart_of_the_pod_counts_nothing_backwards() -> None:
    pod, load = Counters(busy=10), Load()
    load = pod.steadily(load, 30, 100, 0.1)
    pod.boot, pod.accesses, pod.busy_ms = "b", 0, 0
    load = pod.tick(load)
    load = pod.steadily(load, 30, 100, 0.1)
    assert load.offered == pytest.approx(10, rel=0.05)


def test_a_jump_is_known_after_two_seconds() -> None:
    pod, load = Counters(busy=6), Load()
    load = pod.steadily(load, 60, 60, 0.1)
    pod.busy = 25
    load = pod.steadily(load, 3, 300, 0.1)
    assert load.offered == pytest.approx(30, rel=0.05)


def test_the_rate_of_quick_requests_is_not_that_of_the_slow_ones_which_follow_them() -> None:
    """1,600 a second of 1 ms, then 250 a second of 150 ms; in the second between them there are both."""
    pod, load = Counters(slots=40), Load()
    load = pod.steadily(load, 3, 1600, 0.001)
    pod.busy = 40
    pod.serve(1500, 0.001)
    pod.serve(60, 0.15)
    load = pod.tick(load)
    load = pod.steadily(load, 1, 250, 0.15)
    assert load.offered == pytest.approx(250 * 0.15, rel=0.1)


@pytest.mark.parametrize("rate", [20, 100, 400])
def test_the_error_is_near_the_statistical_floor_of_its_window(rate: int) -> None:
    """A mean that forgets with time constant T has variance rate / 2T: the floor for that memory."""
    dice = random.Random(7)
    pod, load = Counters(slots=200), Load()
    errors = []
    for second in range(1200):
        arrived = sum(dice.random() < rate / 5000 for _ in range(5000))
        pod.busy = round(rate * 0.1)
        pod.serve(arrived, 0.1)
        load = pod.tick(load)
        if second > 60:
            errors.append((load.rate - rate) ** 2)
    floor = sqrt(rate / 16)
    assert sqrt(sum(errors) / len(errors)) <= 1.25 * floor


def test_overflowing_queues_say_that_the_load_is_at_least() -> None:
    pod, load = Counters(busy=25, queue=511), Load()
    load = pod.tick(pod.tick(load))
    assert not load.overflowing
    pod.overflows = 3
    assert pod.tick(load).overflowing


def test_what_is_lost_is_not_taken_for_a_load_that_falls() -> None:
    """200 a second come for 100 that can be served; once the queue is full the others are lost unseen."""
    pod, load = Counters(slots=100, busy=100), Load()
    for _ in range(20):
        pod.serve(100, 1.0)
        pod.queue = min(511, pod.queue + 100)
        pod.overflows += 100 * (pod.queue == 511)
        load = pod.tick(load)
    assert load.rate == pytest.approx(200, rel=0.05)


def test_lines_that_come_too_fast_are_not_divided_by_their_tiny_interval() -> None:
    pod, load = Counters(busy=5), Load()
    for _ in range(200):
        pod.serve(5, 0.1)
        load = pod.tick(load, 0.1)
    assert load.rate == pytest.approx(50, rel=0.1)


def test_clients_that_wait_before_they_ask_again_show_as_a_queue_that_stands_still() -> None:
    pod, load = Counters(slots=5, busy=5, queue=35), Load()
    load = pod.steadily(load, 6, 100, 0.05)
    assert load.held_back >= 4
    pod.queue = 70
    pod.serve(100, 0.05)
    assert pod.tick(load).held_back == 0


def test_a_silent_pod_keeps_its_last_load() -> None:
    pod, load = Counters(busy=10), Load()
    load = pod.steadily(load, 30, 100, 0.1)
    silent = pod.line()
    for second in range(1, 60):
        load = observe(load, [silent], 10, 15, 0, pod.now + second)
    assert load.offered == pytest.approx(10, rel=0.01)


def test_lines_sent_because_a_pod_ran_full_do_not_count_as_its_mean() -> None:
    """5 slots are busy on average; every other line was sent at the moment when all 10 were."""
    pod, load = Counters(slots=10), Load()
    for second in range(60):
        pod.serve(50, 0.1)
        pod.busy = 10 if second % 2 else 5
        load = pod.tick(load)
    assert load.offered <= 7


def test_chance_does_not_make_the_load_more_than_what_was_counted() -> None:
    """10 slots are busy on average, each look sees more or fewer: the mean of the looks must not add."""
    dice = random.Random(3)
    pod, load = Counters(slots=100), Load()
    added = 0
    for _ in range(600):
        pod.serve(100, 0.1)
        pod.busy = round(dice.gauss(10, sqrt(10)))
        load = pod.tick(load)
        added += load.offered > load.rate * load.service_seconds
    assert added < 30


def test_a_load_that_is_always_restless_has_no_jumps() -> None:
    """The mean of a stream in turns of 10 and 90 stays near 50; after a calm one, 90 would be a jump."""
    pod, load = Counters(slots=200), Load()
    rates = []
    for second in range(600):
        pod.serve(90 if second // 4 % 2 else 10, 0.1)
        load = pod.tick(load)
        if second > 300:
            rates.append(load.rate)
    assert max(rates) < 70
    assert min(rates) > 30


def test_slots_that_are_busy_only_when_a_pod_says_so_are_no_load() -> None:
    """One slot, 20 requests a second of 5 ms: the lines are sent when it runs full, and taken back."""
    pod, load = Counters(slots=1), Load()
    for _ in range(60):
        pod.serve(20, 0.005)
        pod.busy = 1
        load = pod.tick(load, 0.95)
        pod.now += 0.05
        pod.busy = 0
        pod.line()
    assert load.offered == pytest.approx(0.1, rel=0.1)


def test_requests_that_never_end_count_beside_others_that_do() -> None:
    dice = random.Random(5)
    pod, load = Counters(slots=60), Load()
    for _ in range(60):
        pod.serve(100, 0.1)
        pod.busy = 40 + round(dice.gauss(10, sqrt(10)))
        load = pod.tick(load)
    assert load.offered >= 40


def test_long_requests_are_counted_over_as_long_as_half_of_one() -> None:
    """0.2 requests/s of 300 s: in the 16 s that a rate looks back come 3 of them, more or less 2."""
    dice = random.Random(11)
    pod, load, ends = Counters(slots=200), Load(), []
    loads = []
    for second in range(6000):
        ends += [second + dice.expovariate(1 / 300)] * (dice.random() < 0.2)
        done = [end for end in ends if end <= second]
        ends = [end for end in ends if end > second]
        pod.busy = len(ends)
        for _ in done:
            pod.serve(1, dice.expovariate(1 / 300))
        load = pod.tick(load)
        if second > 2000:
            loads.append(load.offered)
    assert max(loads) < 60 * 1.6
    assert min(loads) > 60 / 1.6
