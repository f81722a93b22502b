"""Events for people, each said once: repeats raise a count, and a flood is cut by a token bucket.

kopf posts every message as a new Event; here an Event of the same object, reason and message is patched.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .client import MANAGER, APIError, Fenced, Unreachable
from .resources import EVENTS, WEBSERVERS, name_of, uid_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_operator.core.plan import Note

    from .client import Client
    from .resources import Object

logger = logging.getLogger(__name__)

REPEAT_SECONDS = 60.0
"""The same Event is not patched more often."""
BUCKET_TOKENS = 25.0
REFILL_PER_SECOND = 0.2
KEPT = 4096
MESSAGE_MOST = 1024


@dataclass(slots=True)
class _Said:
    name: str
    at: float
    count: int = 1
    first: str = ""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Recorder:
    """Writes the notes of plans as Events."""

    def __init__(self, client: Client, identity: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._identity = identity
        self._clock = clock
        self._said: OrderedDict[str, _Said] = OrderedDict()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    async def note(self, server: Object, note: Note) -> None:
        """Say it, unless it was just said. One that can't be written is dropped: the status has it too."""
        digest = hashlib.sha256(f"{uid_of(server)}/{note.reason}/{note.message}".encode()).hexdigest()[:16]
        now = self._clock()
        known = self._said.get(digest)
        if (known is not None and now - known.at < REPEAT_SECONDS) or not self._token(uid_of(server), now):
            return
        try:
            if known is None:
                await self._first(server, note, digest, now)
            else:
                await self._again(server, known, note, now)
        except (APIError, Unreachable, Fenced) as error:
            logger.warning("Event %s of %s was not written: %s", note.reason, name_of(server), error)

    async def _first(self, server: Object, note: Note, digest: str, now: float) -> None:
        meta = server["metadata"]
        stamp = _now()
        name = f"{meta['name'][:230]}.{digest}"
        event = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": name, "namespace": meta["namespace"]},
            "involvedObject": {
                "apiVersion": WEBSERVERS.api_version,
                "kind": WEBSERVERS.kind,
                "name": meta["name"],
                "namespace": meta["namespace"],
                "uid": uid_of(server),
            },
            "reason": note.reason,
            "message": note.message[:MESSAGE_MOST],
            "type": note.severity,
            "source": {"component": MANAGER},
            "reportingComponent": MANAGER,
            "reportingInstance": self._identity[:128],
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }
        said = _Said(name, now, first=stamp)
        try:
            await self._client.create(EVENTS, event)
        except APIError as error:
            if error.status != 409:
                raise
            # Said by an operator before us: go on counting from there.
            old = await self._client.get(EVENTS, meta["namespace"], name) or {}
            said.count = int(old.get("count") or 1)
            self._remember(digest, said)
            await self._again(server, said, note, now)
            return
        self._remember(digest, said)

    async def _again(self, server: Object, said: _Said, note: Note, now: float) -> None:
        said.count, said.at = said.count + 1, now
        patch = {"count": said.count, "lastTimestamp": _now()}
        try:
            await self._client.merge(EVENTS, server["metadata"]["namespace"], said.name, patch)
        except APIError as error:
            if error.status != 404:
                raise
            # Its hour was over; the next occurrence is a first one again.
            for digest, other in list(self._said.items()):
                if other is said:
                    del self._said[digest]

    def _remember(self, digest: str, said: _Said) -> None:
        self._said[digest] = said
        while len(self._said) > KEPT:
            self._said.popitem(last=False)

    def _token(self, uid: str, now: float) -> bool:
        bucket = self._buckets.setdefault(uid, _Bucket(BUCKET_TOKENS, now))
        bucket.tokens = min(BUCKET_TOKENS, bucket.tokens + (now - bucket.at) * REFILL_PER_SECOND)
        bucket.at = now
        while len(self._buckets) > KEPT:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
