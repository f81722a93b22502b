"""httpd's idle maintenance: one decision a tick, in servers, from the idle slots and the band.

Source: perform_idle_server_maintenance of server/mpm/{event,worker,prefork} of httpd 2.4, one bucket.
Pure and without pods: `law.py` says what is idle, and turns servers into pods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from .effective import Band

MAX_SPAWN_RATE = 32
HOLD_OFF = 10
"""Ticks without doubling after a graceful restart; also the most that standing at the limit adds up to.

httpd lets the latter grow without bound, so that an hour at the limit costs an hour of slow growth."""
TICK_SECONDS = 1.0


class Spawn(Struct, frozen=True):
    """How many servers the next growing tick may add."""

    rate: int = 1
    hold_off: int = 0
    acted_at: float = float("-inf")
    """When a tick last added or removed servers; the next may come a second later."""


class Pool(Struct, frozen=True):
    """What a tick looks at: idle slots, servers that accept (starting ones included), and all servers."""

    idle: int
    active: int
    total: int


def maintain(
    spawn: Spawn, pool: Pool, band: Band, active_limit: int, server_limit: int, need: int | None = None
) -> tuple[int, Spawn]:
    """Return by how many servers to change, and the spawn rate after it: one tick of httpd's parent.

    `need` caps the growth in servers; None transcribes httpd, which forks 16 at rate 16 also when one is
    missing (php-fpm caps). One server goes at a time, and only while none is stopping, unless ServerLimit
    leaves room for a whole graceful restart (event's guard since 2.4.24).
    """
    if pool.idle > band.max_spare:
        quiet = pool.active == pool.total or server_limit - pool.total > active_limit
        return (-1 if quiet and pool.active > 0 else 0), replace(spawn, rate=1)
    if pool.idle >= band.min_spare:
        return 0, replace(spawn, rate=1)
    free = min(active_limit - pool.active, server_limit - pool.total)
    if free <= 0:
        return 0, replace(spawn, rate=1, hold_off=min(HOLD_OFF, spawn.hold_off + 1))
    grow = min(spawn.rate, free) if need is None else min(spawn.rate, free, max(need, 0))
    if spawn.hold_off > 0:
        return grow, replace(spawn, hold_off=spawn.hold_off - 1)
    return grow, replace(spawn, rate=min(spawn.rate * 2, MAX_SPAWN_RATE))


def is_due(spawn: Spawn, now: float) -> bool:
    """Return whether a tick may act: plans come at any moment, ticks act at most once a second."""
    return now - spawn.acted_at >= TICK_SECONDS - 1e-6
