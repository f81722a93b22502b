"""Threads beyond what was asked for: only while they help, never beyond the ceiling, and taken back."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from mpm_worker.burst import PERIOD, Burst
from mpm_worker.listeners import Backlog
from mpm_worker.observe import Load

FULL = Load(busy=4, idle=0, queue=3, backlog=Backlog(), connections=7, keep_alive=0, reading=0, closing=0)
ONE_WAITS = replace(FULL, queue=1)
CALM = replace(FULL, busy=1, idle=3, queue=0)


def run(
    loads: list[Load],
    *,
    cpu_share: float = 0.1,
    seconds: float = PERIOD,
    ceiling: int = 64,
    cpus: float = 1.0,
) -> list[int]:
    """The threads after each of these looks, one every `seconds`."""
    burst, have, now, cpu = Burst(), 4, 100.0, 0.0
    seen = []
    for load in loads:
        now += seconds
        cpu += seconds * cpu_share
        have = burst.threads(
            load, now, cpu_seconds=cpu, cpus=cpus, have=have, base=4, ceiling=ceiling, servers=1
        )
        seen.append(have)
    return seen


def test_steps_double_up_to_the_ceiling() -> None:
    assert run([ONE_WAITS] * 8, ceiling=40) == [4, 5, 7, 11, 19, 35, 40, 40]


def test_a_step_is_as_large_as_the_queue() -> None:
    many = replace(FULL, queue=20)
    assert run([many] * 3, ceiling=64) == [4, 24, 44]
    assert run([many] * 2, ceiling=16) == [4, 16]


def test_no_step_without_queue_or_with_idle_slots_or_with_a_busy_cpu() -> None:
    assert run([replace(FULL, queue=0)] * 5) == [4] * 5
    assert run([replace(FULL, idle=1)] * 5) == [4] * 5
    assert run([FULL] * 5, cpu_share=0.85) == [4] * 5


def test_no_step_when_the_only_server_is_busy_on_one_of_many_cpus() -> None:
    assert run([FULL] * 5, cpu_share=0.85, cpus=8.0) == [4] * 5
    assert run([FULL] * 5, cpu_share=0.1, cpus=8.0)[-1] > 4


def test_steps_begin_anew_after_a_pause() -> None:
    one = ONE_WAITS
    assert run([one, one, one, CALM, one, one]) == [4, 5, 7, 7, 8, 10]


def test_taken_back_after_thirty_calm_seconds() -> None:
    threads = run([ONE_WAITS] * 4 + [CALM] * 140)
    assert threads[3] == 11
    assert threads[4 + 118] == 11
    assert threads[4 + 121] == 4


def test_a_ceiling_that_was_lowered_holds_at_once() -> None:
    burst = Burst()
    assert burst.threads(CALM, 1.0, cpu_seconds=0, cpus=1, have=30, base=4, ceiling=10, servers=1) == 10
    assert burst.threads(CALM, 1.0, cpu_seconds=0, cpus=1, have=30, base=12, ceiling=10, servers=1) == 12


def test_a_saturated_pod_takes_threads_up_to_its_ceiling(start, gate) -> None:
    worker = start("--mpm", "event", "--processes", "1", "--threads", "2", "--thread-limit", "16")
    worker.call("PUT", "/control", {"threadsCeiling": 6})
    threads = [threading.Thread(target=worker.get, args=(gate.path,)) for _ in range(9)]
    for thread in threads:
        thread.start()
    board = worker.await_board(lambda board: board["workers"]["busy"] == 6)
    assert board["threadsPerChild"] == board["threadsCeiling"] == 6
    assert board["settings"]["threadsPerChild"] == 2
    gate.open()
    for thread in threads:
        thread.join(60)
    assert worker.scoreboard()["threadsPerChild"] == 6


def test_time_before_a_thread_was_there_is_no_slot_time(start, gate) -> None:
    """Service times are made of it: four threads that come late must not bring the pod's life four times."""
    worker = start("--mpm", "event", "--processes", "1", "--threads", "2", "--thread-limit", "16")
    worker.call("PUT", "/control", {"threadsCeiling": 6})
    worker.await_board(lambda board: board["uptimeMs"] > 5_000)
    began = time.monotonic()
    threads = [threading.Thread(target=worker.get, args=(gate.path,)) for _ in range(9)]
    for thread in threads:
        thread.start()
    worker.await_board(lambda board: board["workers"]["busy"] == 6)
    time.sleep(1)
    gate.open()
    for thread in threads:
        thread.join(60)
    board = worker.await_board(lambda board: board["totals"]["accesses"] == 9)
    # All six were busy for a second, and none for longer than the whole of it.
    assert 6_000 <= board["totals"]["busyMs"] <= 6_000 * (time.monotonic() - began)
