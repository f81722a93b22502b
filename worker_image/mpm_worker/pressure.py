"""Whether responses let go of their connections, because others wait for the slots that these hold.

One look that finds a full pod and somebody in the queue tells nothing: a client that closes and comes anew
may find the slot that it left not idle yet. Two looks tell of clients that outnumber the slots.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpm_worker.observe import Load

PATIENCE = 0.04
"""Seconds for which it must last; less than from one look at a full pod to the next."""


@dataclass(slots=True)
class Pressure:
    """Memory of the rule."""

    since: float = math.inf
    """When it was first seen, on the clock of `look`; inf = there is none."""

    def look(self, load: Load, now: float) -> bool:
        """Return whether to let go now.

        It begins when no slot is idle and lasts while more wait than idle slots can take: a slot is idle for
        a moment between two requests, and a connection kept just then goes before all in the queue.
        """
        waiting = load.backlog.depth
        lasts = waiting > load.idle if self.seen else waiting > 0 and load.idle == 0 and load.busy > 0
        self.since = min(self.since, now) if lasts else math.inf
        return now - self.since >= PATIENCE

    @property
    def seen(self) -> bool:
        """Whether the last look saw some, so that the next one is to come soon."""
        return self.since < math.inf
