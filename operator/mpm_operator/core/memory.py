"""What the planner remembers from one plan to the next; nobody else reads it.

It is small and may be lost: after a restart of the operator the planner only grows for one window, because it
has no history that would justify shrinking.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Memory:
    """State carried from one plan to the next."""

    started_at: float
    """When this memory began: no shrinking until one stabilization window has passed."""


def fresh(now: float) -> Memory:
    """Return the memory of a planner that knows nothing yet."""
    return Memory(started_at=now)
