"""Threads beyond what was asked for, while they help: the supervisor's own small autoscaler.

A queue with no idle slot and CPU to spare means that requests wait for requests that wait: more threads
serve them within milliseconds. When the CPU is busy more threads only share it out thinner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpm_worker.observe import Load

PERIOD = 0.25
"""Seconds between two steps, and the least time over which the CPU share is measured."""
_CPU_SHARE = 0.8
_REST = 30.0
"""Seconds without need after which the burst is taken back."""


@dataclass(slots=True)
class Burst:
    """Memory of the rule. `step`, the least of an increase, doubles while the need lasts (httpd's
    idle_spawn_rate)."""

    step: int = 1
    needed_at: float = 0.0
    _measured_at: float = 0.0
    _cpu_seconds: float = 0.0

    def threads(
        self,
        load: Load,
        now: float,
        *,
        cpu_seconds: float,
        cpus: float,
        have: int,
        base: int,
        ceiling: int,
        servers: int,
    ) -> int:
        """How many threads each server shall have.

        :param cpu_seconds: CPU time of all servers so far
        :param cpus: how many may be used; a server uses one at most (the interpreter's lock)
        :param base: what was asked for; `ceiling` is the most
        """
        ceiling = max(base, ceiling)
        if not base <= have <= ceiling:
            self.step = 1
            return min(max(have, base), ceiling)
        if load.busy > base * servers or load.queue:
            self.needed_at = now
        if have > base and now - self.needed_at >= _REST:
            self.step = 1
            return base
        elapsed = now - self._measured_at
        if elapsed < PERIOD:
            return have
        share = (cpu_seconds - self._cpu_seconds) / elapsed / min(cpus, servers) if self._measured_at else 1.0
        self._measured_at, self._cpu_seconds = now, cpu_seconds
        if load.queue == 0 or load.idle > 0:
            self.step = 1
            return have
        if share >= _CPU_SHARE:
            return have
        # As many at once as wait: doubling alone takes 1.5 s to the default limit, and the queue is known.
        more = min(have + max(self.step, -(-load.queue // servers)), ceiling)
        self.step *= 2
        return more
