"""The queue of WebServers to be reconciled: each key at most once, and never in two workers at a time.

A key has one due time, the earliest anybody asked for. What a person changed goes before what is merely due.
A key that failed comes back with exponential backoff and jitter; a success forgets the failures.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from .resources import Key

BACKOFF_FIRST_SECONDS = 0.25
BACKOFF_MOST_SECONDS = 60.0

URGENT, NORMAL = 0, 1


@dataclass(slots=True)
class _Entry:
    due: float
    priority: int
    token: int
    """The heap's items are not removed; an item whose token is not the entry's is stale."""


class KeyedQueue:
    """Due keys for several workers of one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[Key, _Entry] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._ready: list[tuple[int, int, Key]] = []
        self._working: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._tokens = 0
        self._changed = asyncio.Event()

    def add(self, key: Key, *, urgent: bool = False, due: float | None = None) -> None:
        """Ask for the key at `due` (now when left out); an earlier or more urgent request stays."""
        now = self._clock()
        when = now if due is None else due
        priority = URGENT if urgent else NORMAL
        entry = self._waiting.get(key)
        if entry is not None:
            if entry.due <= when and entry.priority <= priority:
                return
            when, priority = min(entry.due, when), min(entry.priority, priority)
        self._tokens += 1
        self._waiting[key] = _Entry(when, priority, self._tokens)
        heapq.heappush(self._heap, (when, self._tokens, key))
        self._changed.set()

    async def get(self) -> Key:
        """Return a key that is due and that nobody works on; it has to be given back by `done`."""
        while True:
            self._changed.clear()
            delay = self._promote()
            key = self._take()
            if key is not None:
                return key
            try:
                async with asyncio.timeout(delay):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, key: Key, *, failed: bool = False) -> None:
        """Give the key back; after a failure it comes again by itself."""
        self._working.discard(key)
        if failed:
            count = self._failures[key] = self._failures.get(key, 0) + 1
            longest = min(BACKOFF_MOST_SECONDS, BACKOFF_FIRST_SECONDS * 2 ** (count - 1))
            self.add(key, due=self._clock() + longest * random.uniform(0.5, 1.0))
        else:
            self._failures.pop(key, None)
        self._changed.set()

    def forget(self, key: Key) -> None:
        """Drop the key and its failures: the WebServer is gone."""
        self._waiting.pop(key, None)
        self._failures.pop(key, None)

    def __len__(self) -> int:
        """How many keys are due now and wait for a worker."""
        self._promote()
        return sum(1 for _, token, key in self._ready if self._fresh(key, token))

    def _promote(self) -> float | None:
        """Move what is due to the ready keys; return the seconds until the next one is."""
        now = self._clock()
        while self._heap:
            when, token, key = self._heap[0]
            if self._fresh(key, token):
                if when > now:
                    return when - now
                heapq.heappush(self._ready, (self._waiting[key].priority, token, key))
            heapq.heappop(self._heap)
        return None

    def _take(self) -> Key | None:
        busy: list[tuple[int, int, Key]] = []
        found: Key | None = None
        while self._ready and found is None:
            item = heapq.heappop(self._ready)
            _, token, key = item
            if not self._fresh(key, token):
                continue
            if key in self._working:
                busy.append(item)
            else:
                found = key
        for item in busy:
            heapq.heappush(self._ready, item)
        if found is not None:
            del self._waiting[found]
            self._working.add(found)
        metrics.QUEUE_DEPTH.set(len(self._ready))
        return found

    def _fresh(self, key: Key, token: int) -> bool:
        entry = self._waiting.get(key)
        return entry is not None and entry.token == token
