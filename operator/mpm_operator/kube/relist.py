"""Listings that fill the caches at the start and confirm them for ever after.

A watch can freeze without an error (it has in every framework); a listing every 150 s finds what it missed.
`/readyz` and the metric `watch_age` rest on the time of the last one.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING

from .client import APIError, Unreachable
from .handlers import selector

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .caches import Cache, Caches
    from .client import Client
    from .handlers import Changed

logger = logging.getLogger(__name__)

EVERY_SECONDS = 150.0
STALE_SECONDS = 300.0
"""Two listings missed: the caches are not to be trusted."""
RETRY_SECONDS = 2.0


class Relister:
    """Lists every watched kind in every watched namespace, again and again."""

    def __init__(
        self,
        client: Client,
        caches: Caches,
        namespaces: Sequence[str],
        changed: Changed,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._caches = caches
        self._namespaces = tuple(namespaces) or ("",)
        self._changed = changed
        self._clock = clock

    async def run(self) -> None:
        """Confirm the caches for ever."""
        while True:
            pause = EVERY_SECONDS * random.uniform(0.9, 1.0)
            try:
                await self.confirm()
            except (APIError, Unreachable) as error:
                logger.warning("Listing failed: %s", error)
                pause = RETRY_SECONDS
            await asyncio.sleep(pause)

    async def confirm(self) -> None:
        """Fill the caches, or put them right; raises APIError or Unreachable."""
        for cache in self._caches:
            await self._confirm(cache)

    async def _confirm(self, cache: Cache) -> None:
        for namespace in self._namespaces:
            listing = await self._client.list(cache.kind, namespace, selector(cache.kind))
            present = {body["metadata"]["uid"] for body in listing.items}
            for body in cache.confirm(listing, namespace):
                self._changed(cache.kind, body, body["metadata"]["uid"] not in present)
        cache.confirmed_at = self._clock()
