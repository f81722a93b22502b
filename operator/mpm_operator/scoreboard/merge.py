"""One scoreboard out of many pods'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mpm_operator.core.snapshot import Report


@dataclass(frozen=True, slots=True)
class Sum:
    """The slots and counters of several pods together."""

    pods: int
    servers: int
    busy: int
    idle: int
    total: int
    queue: int
    connections: int
    keep_alive: int
    accesses: int
    oldest: float | None
    """Arrival of the oldest line that is in the sum; None = no pod has reported."""


def merge(reports: Iterable[Report]) -> Sum:
    """Add up the last lines of several pods. A silent pod counts with its last line, not with nothing."""
    lines = list(reports)
    return Sum(
        pods=len(lines),
        servers=sum(line.servers for line in lines),
        busy=sum(line.busy for line in lines),
        idle=sum(line.idle for line in lines),
        total=sum(line.total for line in lines),
        queue=sum(line.queue for line in lines),
        connections=sum(line.connections for line in lines),
        keep_alive=sum(line.keep_alive for line in lines),
        accesses=sum(line.accesses for line in lines),
        oldest=min((line.at for line in lines), default=None),
    )
