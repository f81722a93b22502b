"""Which requests block: learned from how long the requests of the same path took."""

from __future__ import annotations

from collections import OrderedDict

_SLOW, _FAST = 1e-3, 0.3e-3
"""Seconds. Between the two a path stays what it is."""
_WEIGHT = 0.2
_MOST = 1024
_SEGMENTS = 2
"""Of a path; what follows is mostly an id, and a table of ids learns nothing."""


class Paths:
    """Mean duration by method and head of the path; beyond a thousand the oldest is forgotten.

    A path that is not known yet counts as blocking: to be wrong that way costs a hand-over of microseconds,
    the other way a stall of everything.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, ...], list[float]] = OrderedDict()

    @staticmethod
    def key(method: str, path: str) -> tuple[str, ...]:
        return (method, *path.split("/", _SEGMENTS + 1)[1 : _SEGMENTS + 1])

    def blocks(self, key: tuple[str, ...]) -> bool:
        entry = self._known.get(key)
        return entry is None or entry[1] > 0

    def learn(self, key: tuple[str, ...], seconds: float) -> None:
        entry = self._known.get(key)
        if entry is None:
            self._known[key] = [seconds, float(seconds >= _SLOW)]
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
            return
        entry[0] = mean = entry[0] + (seconds - entry[0]) * _WEIGHT
        if mean >= _SLOW:
            entry[1] = 1.0
        elif mean < _FAST:
            entry[1] = 0.0
