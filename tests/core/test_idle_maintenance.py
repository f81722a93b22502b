"""httpd's golden vectors: a transcription of its idle maintenance, and the planner under the same load.

The vectors come from running httpd's pseudo-code by hand, one line a tick: servers before the tick, and by
how many they change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mpm_operator.core.effective import Band
from mpm_operator.core.maintenance import HOLD_OFF, MAX_SPAWN_RATE, Pool, Spawn, is_due, maintain

if TYPE_CHECKING:
    from collections.abc import Callable


def httpd(servers: int, threads: int, band: Band, limit: int, loads: list[int]) -> list[tuple[int, int]]:
    """Run httpd for one tick a load; every server serves one tick after its fork."""
    spawn, history = Spawn(), []
    for load in loads:
        idle = servers * threads - min(load, servers * threads)
        change, spawn = maintain(spawn, Pool(idle, servers, servers), band, limit, 2 * limit)
        history.append((servers, change))
        servers += change
    return history


def test_worker_and_event_defaults_grow_by_doubling_and_shrink_one_a_tick() -> None:
    history = httpd(3, 25, Band(75, 250), 16, [300] * 7 + [0] * 8)
    assert history[:5] == [(3, 1), (4, 2), (6, 4), (10, 6), (16, 0)]
    assert history[7:14] == [(16, -1), (15, -1), (14, -1), (13, -1), (12, -1), (11, -1), (10, 0)]


def test_prefork_defaults_overshoot_because_httpd_does_not_cap_by_need() -> None:
    history = httpd(5, 1, Band(5, 10), 256, [100] * 40)
    assert [change for _, change in history[:8]] == [1, 2, 4, 8, 16, 32, 32, 32]
    assert history[8] == (132, -1)
    assert history[-1] == (110, 0)


def planned(world: Callable[..., Any], mpm: dict[str, Any], load: int, after: list[int]) -> list[int]:
    """Return the replicas after each tick of the planner, under a load that stays."""
    w = world(mpm, {"scaleDownStabilizationSeconds": 0}, startup=0.0)
    w.run(3)
    w.load = load
    assert w.replicas == after[0]
    return [w.step().replicas for _ in after[1:]]


def test_the_planner_follows_worker_until_need_caps_it(world: Callable[..., Any]) -> None:
    """httpd adds 6 at the fourth tick, up to its limit; 5 are needed for 75 idle slots, and 5 are added."""
    mpm = {"minSpareThreads": 75, "maxSpareThreads": 250, "threadsPerChild": 25, "threadLimit": 25}
    for kind in ("Worker", "Event"):
        expected = [3, 4, 6, 10, 15, 15, 15]
        assert planned(world, {**mpm, "type": kind}, 300, expected) == expected[1:]


def test_the_planner_follows_prefork_until_need_caps_it(world: Callable[..., Any]) -> None:
    """httpd ends at 132 servers and takes 22 away again; 105 are needed, and the planner stops there."""
    mpm = {"type": "Prefork", "minSpareServers": 5, "maxSpareServers": 10, "processesPerPod": 1}
    expected = [5, 6, 8, 12, 20, 36, 68, 100, 105, 105]
    assert planned(world, mpm, 100, expected) == expected[1:]


def test_the_planner_rests_where_httpd_rests_after_the_load(world: Callable[..., Any]) -> None:
    mpm = {"minSpareThreads": 75, "maxSpareThreads": 250, "threadsPerChild": 25, "threadLimit": 25}
    w = world(mpm, {"scaleDownStabilizationSeconds": 0}, startup=0.0)
    w.load = 300
    w.run(10)
    w.load = 0
    for _ in range(80):
        assert len(w.step().quiesce) <= 1
    assert (w.replicas, len(w.accepting)) == (10, 10)


def test_servers_are_packed_into_whole_pods(world: Callable[..., Any]) -> None:
    mpm = {"type": "Prefork", "minSpareServers": 5, "maxSpareServers": 14, "startServers": 8}
    w = world(mpm, {"scaleDownStabilizationSeconds": 0}, startup=0.0)
    w.run(3)
    w.load = 100
    w.run(20)
    assert w.replicas == 14  # 112 servers: the first multiple of 8 over 105


def test_a_server_that_starts_counts_as_idle(world: Callable[..., Any]) -> None:
    mpm = {"minSpareThreads": 10, "maxSpareThreads": 60, "threadsPerChild": 25, "startServers": 1}
    w = world(mpm, startup=30.0)
    w.run(40)
    w.load = 20
    w.run(20)
    assert (w.replicas, len(w.accepting)) == (2, 1)


@pytest.mark.parametrize(
    ("idle", "active", "total", "change"),
    [
        (251, 12, 12, -1),
        (250, 12, 12, 0),
        (251, 12, 13, 0),  # one already stops, and ServerLimit leaves no room for a whole restart
        (75, 12, 12, 0),
        (74, 12, 12, 1),
        (74, 16, 16, 0),
        (74, 12, 20, 0),
    ],
)
def test_one_tick_by_the_band_the_limits_and_the_stop_guard(
    idle: int, active: int, total: int, change: int
) -> None:
    assert maintain(Spawn(), Pool(idle, active, total), Band(75, 250), 16, 20)[0] == change


def test_with_room_for_a_whole_restart_one_may_go_while_another_stops() -> None:
    assert maintain(Spawn(), Pool(300, 12, 14), Band(75, 250), 16, 40)[0] == -1


def test_the_rate_doubles_up_to_its_bound_and_falls_back_when_calm() -> None:
    spawn = Spawn()
    for rate in (2, 4, 8, 16, 32, 32):
        spawn = maintain(spawn, Pool(0, 1, 1), Band(75, 250), 10_000, 20_000)[1]
        assert spawn.rate == rate <= MAX_SPAWN_RATE
    assert maintain(spawn, Pool(100, 1, 1), Band(75, 250), 10_000, 20_000)[1].rate == 1


def test_after_a_rollout_ten_ticks_grow_without_doubling() -> None:
    spawn = Spawn(hold_off=HOLD_OFF)
    grown = []
    for _ in range(12):
        change, spawn = maintain(spawn, Pool(0, 1, 1), Band(75, 250), 10_000, 20_000)
        grown.append(change)
    assert grown == [1] * 11 + [2]


def test_need_caps_the_rate() -> None:
    spawn = Spawn(rate=16)
    assert maintain(spawn, Pool(50, 10, 10), Band(75, 250), 100, 200, need=1)[0] == 1
    assert maintain(spawn, Pool(50, 10, 10), Band(75, 250), 100, 200)[0] == 16


def test_ticks_act_at_most_once_a_second_however_often_plans_come(world: Callable[..., Any]) -> None:
    mpm = {"minSpareThreads": 75, "maxSpareThreads": 250, "threadsPerChild": 25, "threadLimit": 25}
    w = world(mpm, {"scaleDownStabilizationSeconds": 0}, startup=0.0)
    w.run(3)
    w.load = 300
    replicas = [w.step(0.25).replicas for _ in range(13)]
    assert replicas == [4] * 4 + [6] * 4 + [10] * 4 + [15]


def test_the_first_tick_after_calm_acts_at_once() -> None:
    assert is_due(Spawn(), 0.0)
    assert not is_due(Spawn(acted_at=10.0), 10.9)
    assert is_due(Spawn(acted_at=10.0), 11.0)
