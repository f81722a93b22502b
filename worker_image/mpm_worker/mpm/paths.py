"""Which requests wait: learned from those of the same path.

What counts is waiting (wall time less CPU time and the wait for a CPU), not duration: who computes for 5 ms
holds the interpreter wherever it runs, and in a thread of its own it would only take it away from the leader
at every system call. The compiled leader gives the interpreter up only when it has nothing to do: beside it a
`heavy` request is better off in another thread, as long as there are light ones that would wait for it.
"""

from __future__ import annotations

import re

_WAIT = 0.3e-3
"""Seconds of waiting, and more than half of the duration: worth a hand-over of some 20 µs."""
ODD = 0.5e-3
"""Seconds; a call that lasts longer has the next one measured."""
_STRIKES = 2
"""Measured calls in a row that waited; one may only have been robbed of its CPU."""
_RETRY, _RETRY_MOST = 64, 65536
_BEAR_WAIT, _BEAR_WORK = 5e-3, 15e-3
"""Seconds that the leader can bear, in one request in so many."""
_HEAVY = 2e-3
"""Seconds of CPU that make a request heavy; twice the share that a thread gets at a time."""
_WEIGHT = 0.1
_MOST = 2048

_ID = re.compile(r"(?<=/)[^/]*[0-9][^/]*").sub


class Path:
    """What is known of one path. `waits`: its requests are handed over; seconds everywhere.

    A path is marked in a storm as well (the first requests import things, everybody fights for the
    interpreter), so it is tried again: after 64 requests, then ever more rarely, and never while it clearly
    waits or works for long.
    """

    __slots__ = ("_count", "_retry", "_strikes", "_wait", "_work", "heavy", "measured", "waits")

    def __init__(self, *, waits: bool = False) -> None:
        self.waits = waits
        self.heavy = False
        """Whether its requests compute for long."""
        self.measured = True
        """Whether the CPU time of the next call is wanted."""
        self._strikes = 0
        self._count = 0
        self._retry = _RETRY
        self._wait = self._work = 0.0

    def judge(self, took: float, worked: float, robbed: float) -> None:
        """The leader answered it and measured; `robbed` is what it waited for a CPU."""
        wait = took - worked - robbed
        self._work = worked
        self.heavy = worked > _HEAVY
        if wait <= max(_WAIT, worked):
            self.measured, self._strikes = False, 0
            if self.waits:
                self.waits, self._retry = False, _RETRY
        elif self.waits:
            self._retry = min(self._retry * 4, _RETRY_MOST)
        else:
            self._strikes += 1
            if self._strikes >= _STRIKES:
                self.mark(wait)

    def mark(self, wait: float) -> None:
        """It made everybody wait: from now on its requests are handed over."""
        self.waits = self.measured = True
        self._strikes = self._count = 0
        self._wait, self._work = wait, 0.0

    def handed_over(self, took: float, worked: float) -> None:
        """A slot has answered it while the leader went on."""
        self._count += 1
        self._work += (worked - self._work) * _WEIGHT
        self.heavy = self._work > _HEAVY
        self._wait += (took - worked - self._wait) * _WEIGHT

    def due(self) -> bool:
        """Whether the leader shall try one itself."""
        if self._count < self._retry:
            return False
        # Among many threads even who only computes waits, for CPU and interpreter.
        if self._work > _BEAR_WORK or self._wait > max(_BEAR_WAIT, 3 * self._work):
            return False
        self._count = 0
        return True


class Paths:
    """What is known by method and path; an id in it (a segment with a digit) stands for all ids.

    A new path is taken for what the path above it is. When there are too many, all is learned anew.
    """

    def __init__(self) -> None:
        self._known: dict[str, Path] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, text: str) -> Path:
        """:param text: method, space, path"""
        return self._known.get(text) or self._learn(text)

    def _learn(self, text: str) -> Path:
        if len(self._known) >= _MOST:
            self._known.clear()
        pattern = _ID("*", text)
        path = self._known.get(pattern)
        if path is None:
            above = self._known.get(pattern.rpartition("/")[0] + "/")
            path = self._known[pattern] = Path(waits=above is not None and above.waits)
        self._known[text] = path
        return path
