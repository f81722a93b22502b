"""How many slots the memory limit of a pod allows, from the resident memory at known numbers of slots.

The guard only holds back growth: what a pod has fits already, and Python gives little back for a thread less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .effective import Effective
    from .snapshot import Pod

USABLE = 0.9
"""Share of the limit that slots may fill; the rest is for what a request takes for a moment."""
SPREAD = 1.25
"""Two counts of slots this factor apart tell what a slot takes; till then all memory is put down to slots."""
LEAST_SLOT_BYTES = 65536
"""Touched stack and interpreter state of a thread that does nothing."""
LOWER, RAISE = 0.9, 1.25
"""The limit in force moves only beyond these factors: memory moves at every request."""


class Footprint(Struct, frozen=True):
    """The memory of the pods with the fewest and with the most slots that were seen, in bytes."""

    few: int = 0
    few_rss: int = 0
    many: int = 0
    many_rss: int = 0
    slots: int = 0
    """Slots that a pod may have; 0 = no limit is known."""

    @property
    def slot_bytes(self) -> float:
        """What one slot more takes; an upper bound as long as all pods had about the same number."""
        if self.many >= SPREAD * self.few > 0:
            return max(LEAST_SLOT_BYTES, (self.many_rss - self.few_rss) / (self.many - self.few))
        return max(LEAST_SLOT_BYTES, self.many_rss / max(1, self.many))


def measure(before: Footprint, pods: Iterable[Pod]) -> Footprint:
    """Return the footprint after the last lines of `pods`."""
    few, few_rss, many, many_rss = before.few, before.few_rss, before.many, before.many_rss
    fullest = room = 0
    fitting: float | None = None
    for pod in pods:
        report = pod.report
        if report is None or report.rss <= 0 or report.memory_limit <= 0 or report.total <= 0:
            continue
        total, rss = report.total, report.rss
        if few == 0 or (total, rss) < (few, few_rss):
            few, few_rss = total, rss
        if (total, rss) > (many, many_rss):
            many, many_rss = total, rss
        left = int(USABLE * report.memory_limit) - rss
        if fitting is None or left < room:
            fullest, room, fitting = total, left, 0.0
    seen = Footprint(few, few_rss, many, many_rss, before.slots)
    if fitting is None:
        return seen
    return replace(seen, slots=_settled(before.slots, fullest + max(0, int(room / seen.slot_bytes))))


def _settled(before: int, slots: int) -> int:
    return before if before and LOWER * before <= slots <= RAISE * before else slots


def thread_limit(footprint: Footprint, effective: Effective) -> int:
    """Return the threads a server may go up to: ThreadLimit, or less where memory ends before it."""
    if not footprint.slots:
        return effective.thread_limit
    return max(1, min(effective.thread_limit, footprint.slots // effective.processes_per_pod))
