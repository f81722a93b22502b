"""What the planner remembers from one plan to the next; nobody else reads it.

It is small and may be lost: after a restart of the operator the planner only grows for one window, because it
has no history that would justify shrinking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from .estimator import Load
from .footprint import Footprint
from .maintenance import Spawn
from .startup import Startups
from .trend import Trend
from .tuning import Tuning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .conditions import Episode
    from .grants import Grant
    from .plan import Decision
    from .victims import Victim


class Memory(Struct, frozen=True):
    """State carried from one plan to the next."""

    started_at: float
    """When this memory began: no shrinking until one stabilization window has passed."""
    spawn: Spawn = field(default_factory=Spawn)
    load: Load = field(default_factory=Load)
    tuning: Tuning = field(default_factory=Tuning)
    footprint: Footprint = field(default_factory=Footprint)
    startups: Startups = field(default_factory=Startups)
    trend: Trend = field(default_factory=Trend)
    peaks: tuple[tuple[float, int], ...] = ()
    """Pods that were needed, with their times: falling values, the first is the greatest of the window."""
    victims: tuple[Victim, ...] = ()
    grants: Mapping[str, Grant] = field(default_factory=dict)
    """What each pod was last sent."""
    settled: frozenset[str] | None = None
    """Accepting pods that have their share of the connections; None = not looked yet."""
    newcomers: Mapping[str, float] = field(default_factory=dict)
    """Accepting pods that do not, and since when they accept."""
    unheard: int = 0
    """Most slots that a pod which has not told yet may have started with; 0 = all have told."""
    rolling: bool = False
    start: int = 0
    """Pods of the first creation that could not all be asked for at once; 0 = they were."""
    episodes: Mapping[str, Episode] = field(default_factory=dict)
    """Troubles that were told of and last."""
    deaf_since: float | None = None
    """Since when too many pods have been silent."""
    desired: int | None = None
    """Desired pods of the last plan."""
    said: Decision | None = None
    """The decision as last shown; its words stay while nothing changes."""
    pending: tuple[str, float] | None = None
    """A reason that would replace a quiet one, and since when."""


def fresh(now: float) -> Memory:
    """Return the memory of a planner that knows nothing yet."""
    return Memory(started_at=now)
