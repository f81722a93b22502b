"""How long the pods of a WebServer take to start, learned from those that did."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from msgspec import Struct

from .survey import START_DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .snapshot import Pod

KEPT = 15
"""Pods that are remembered: one that waited for its image is outvoted, and an old image soon forgotten."""
UNKNOWN_SECONDS = 10.0
"""Taken while no pod was seen to start: scheduling, an image that is there, an import, a probe."""


class Startups(Struct, frozen=True):
    """Start-up times of the pods that became ready last.

    A new operator learns them from the pods that it finds: both times are in the cluster, not in its memory.
    """

    seconds: tuple[float, ...] = ()
    """From asked for to ready; the newest is last."""
    newest: float = float("-inf")
    """When the last of them became ready."""
    usual: float = UNKNOWN_SECONDS
    """The median. Not a mean or a high quantile: a pod that became unready and ready again before a new
    operator looked, or that waited for a node, would rule them for long."""

    @property
    def known(self) -> bool:
        return bool(self.seconds)


def learn(startups: Startups, accepting: Iterable[Pod], newest: float) -> Startups:
    """Return what is known after the `accepting` pods, of which the last became ready at `newest`."""
    if newest <= startups.newest:
        return startups
    since = startups.newest
    started = sorted(
        (pod.ready_at, pod.created_at)
        for pod in accepting
        # A container that began anew was not starting all the time.
        if pod.ready_at is not None and pod.ready_at > since and not pod.restarts
    )
    took = [ready - created for ready, created in started if 0 <= ready - created <= START_DEADLINE_SECONDS]
    seconds = (*startups.seconds, *took)[-KEPT:]
    return Startups(seconds, newest, median(seconds) if seconds else UNKNOWN_SECONDS)
