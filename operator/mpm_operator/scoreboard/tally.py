"""Counters of a WebServer that only grow, whichever of its pods come, go and start again.

What is added is what each pod's counters have grown by since its line before. A pod that goes takes nothing
along: what it counted is in the sum. A pod that was there before the tally began counts from its first line
on, so that counters and uptime tell of the same time, as those of an httpd that was just started.
(Adding up the lives of the pods that are there was rejected: the sum falls whenever one goes, and jumps up
after a restart of the operator, which rate() would take for requests.)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import add, sub
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

    from .parse import Line


class Counters(NamedTuple):
    """Cumulative; times are milliseconds, `sent` bytes."""

    accesses: int = 0
    sent: int = 0
    connections: int = 0
    busy_ms: int = 0
    user_ms: int = 0
    system_ms: int = 0
    throttled_ms: int = 0
    overflows: int = 0
    cut: int = 0
    """Servers that did not finish before their drain deadline."""


@dataclass(slots=True)
class Tally:
    """The counters of one WebServer since `began` (seconds of the monotonic clock)."""

    began: float
    total: Counters = field(default_factory=Counters)
    _last: dict[str, tuple[str, Counters]] = field(default_factory=dict)
    """Pod UID → boot and counters of its last line."""

    def take(self, uid: str, line: Line) -> None:
        """Add what one line of a pod brings."""
        now = counters(line)
        boot = line.report.boot
        last_boot, last = self._last.get(uid, ("", None))
        if last is None or last_boot != boot:
            born = line.report.at - line.report.uptime_ms / 1000
            last = Counters() if born >= self.began else now
        grown = tuple(map(sub, now, last))
        if min(grown) < 0:
            now = Counters(*map(max, now, last))
            grown = tuple(map(sub, now, last))
        self.total = Counters(*map(add, self.total, grown))
        self._last[uid] = (boot, now)

    def keep(self, uids: Collection[str]) -> None:
        """Forget the last lines of all other pods; what they counted stays."""
        for uid in self._last.keys() - set(uids):
            del self._last[uid]


def counters(line: Line) -> Counters:
    """The counters that one line shows, since the boot of its pod."""
    report, shown = line.report, line.shown
    user = min(shown.user_ms, report.cpu_ms) if shown.user_ms is not None else report.cpu_ms
    return Counters(
        report.accesses,
        shown.sent,
        shown.accepted,
        report.busy_ms,
        user,
        report.cpu_ms - user,
        report.throttled_ms,
        report.overflows,
        shown.cut,
    )
