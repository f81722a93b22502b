"""Pods for an offered load: what a queue adds, and when the load must be more than what was counted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from mpm_operator.core.estimator import Load
from mpm_operator.core.law import by_load, remember
from mpm_operator.core.snapshot import Pod, PodPhase
from mpm_operator.core.survey import Survey

if TYPE_CHECKING:
    from collections.abc import Callable

STEADY = Load(samples=60, rate=300.0, inside=125.0, served=1000.0, held=1000.0)
"""300 requests a second of one second each."""


def needed(
    effective: Callable[..., Any], load: Load, queue: int, have: int = 5, coming: int = 0
) -> tuple[int, str]:
    directives = effective({"threadsPerChild": 25, "maxRequestWorkers": 10_000})
    pods = [Pod(f"shop-{n}", PodPhase.READY, 0.0) for n in range(have)]
    starting = [Pod(f"new-{n}", PodPhase.STARTING, 0.0) for n in range(coming)]
    seen = Survey(accepting=pods, starting=starting, busy=25 * have, queue=queue, slots=25 * have)
    need = by_load(directives, load, seen, have + coming, pooled=False)
    return need.want, need.reason


@pytest.mark.parametrize(("queue", "pods"), [(0, 18), (500, 18), (1500, 18), (2500, 22)])
def test_a_backlog_that_spare_slots_drain_asks_for_no_pod(
    effective: Callable[..., Any], queue: int, pods: int
) -> None:
    assert needed(effective, STEADY, queue, coming=13)[0] == pods


def test_overflowing_queues_double_the_pods_once(effective: Callable[..., Any]) -> None:
    lost = replace(STEADY, rate=60.0, inside=60.0, overflowing=True)
    assert needed(effective, lost, 2000, have=20) == (40, "BacklogOverflows")
    assert needed(effective, lost, 2000, have=20, coming=20)[1] != "BacklogOverflows"


def test_a_queue_that_stands_still_is_clients_that_wait(effective: Callable[..., Any]) -> None:
    closed = replace(STEADY, rate=100.0, served=2000.0, held=100.0, inside=5.0, held_back=3.0)
    assert needed(effective, closed, 100, have=2) == (8, "QueueFormed")
    assert needed(effective, closed, 0, have=2)[0] == 1
    # Pods on their way count: the same clients ask for nothing more.
    assert needed(effective, closed, 100, have=2, coming=6)[1] != "QueueFormed"
    assert needed(effective, replace(closed, held_back=1.0), 100, have=2)[0] == 3


def test_full_slots_and_a_queue_ask_for_a_pod_before_the_load_is_known(effective: Callable[..., Any]) -> None:
    assert needed(effective, Load(), 3, have=1) == (2, "QueueFormed")
    assert needed(effective, Load(), 3, have=1, coming=1)[0] <= 2
    assert needed(effective, Load(), 0, have=1)[0] == 1


def test_the_window_remembers_its_greatest_need_and_forgets_it_in_time() -> None:
    peaks: tuple[tuple[float, int], ...] = ()
    maxima = []
    for second, keep in enumerate([3, 5, 4, 2, 2, 2, 2, 6, 1]):
        peaks = remember(peaks, keep, 3.0, float(second))
        maxima.append(peaks[0][1])
    assert maxima == [3, 5, 5, 5, 4, 2, 2, 6, 6]
    assert remember(peaks, 1, 0.0, 9.0) == ((9.0, 1),)
