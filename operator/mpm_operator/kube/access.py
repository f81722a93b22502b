"""Who may read a WebServer's pages: whoever may `get` the WebServer, and who has the agents' token.

The API server is asked (TokenReview, then SubjectAccessReview), so there is one place where rights are given.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from .client import Unreachable
from .resources import WEBSERVERS, Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .client import Client
    from .resources import Key, Object

    Entry = tuple[bytes, Key]

TOKEN_REVIEWS = Kind("authentication.k8s.io", "v1", "tokenreviews", "TokenReview")
ACCESS_REVIEWS = Kind("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview")

ALLOWED_SECONDS = 60.0
"""How long a yes holds: an agent that scrapes each 10 s must not cost two API calls each time."""
REFUSED_SECONDS = 5.0
_REMEMBERED = 1000
_ASKING = 2
"""Questions under way at once: who knocks with tokens by the hundred must not take the calls that scale."""
_WAITING = 100
"""Questions that wait for their turn; further ones are told to come again."""


class Verdict(Enum):
    """What became of the question."""

    ALLOWED = 200
    UNKNOWN = 401
    """Nobody knows this token."""
    FORBIDDEN = 403


@dataclass(slots=True)
class Turns:
    """Those who wait to be asked about."""

    asking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_ASKING))
    waiting: int = 0


class Access:
    """Asks the API server, and remembers the answer for a while."""

    def __init__(
        self, client: Client, token_file: Path | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._token_file = token_file
        self._clock = clock
        self._known: OrderedDict[Entry, tuple[float, Verdict]] = OrderedDict()
        self._strangers, self._regulars = Turns(), Turns()
        """Who was let in before does not stand behind those who try tokens."""

    async def may_read(self, token: str, key: Key) -> Verdict:
        """Return whether the bearer of the token may get the WebServer.

        Raises APIError or Unreachable when the API server does not say, or too many wait for its answer.
        """
        if not token:
            return Verdict.UNKNOWN
        if self._agents(token):
            return Verdict.ALLOWED
        entry = (hashlib.sha256(token.encode()).digest(), key)
        return self._remembered(entry) or await self._learn(entry, token, key)

    def _remembered(self, entry: Entry) -> Verdict | None:
        until, verdict = self._known.get(entry, (0.0, None))
        return verdict if until > self._clock() else None

    async def _learn(self, entry: Entry, token: str, key: Key) -> Verdict:
        _, before = self._known.get(entry, (0.0, Verdict.UNKNOWN))
        turns = self._regulars if before is Verdict.ALLOWED else self._strangers
        if turns.waiting >= _WAITING:
            raise Unreachable(f"{_WAITING} others wait to be asked about")
        turns.waiting += 1
        try:
            async with turns.asking:
                # Somebody may have asked the same meanwhile.
                return self._remembered(entry) or self._keep(entry, await self._ask(token, key))
        finally:
            turns.waiting -= 1

    def _keep(self, entry: Entry, verdict: Verdict) -> Verdict:
        seconds = ALLOWED_SECONDS if verdict is Verdict.ALLOWED else REFUSED_SECONDS
        self._known[entry] = (self._clock() + seconds, verdict)
        self._known.move_to_end(entry)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return verdict

    def _agents(self, token: str) -> bool:
        """Whether it is the token in the file; read each time, because Secrets change under a mount."""
        if self._token_file is None:
            return False
        try:
            own = self._token_file.read_bytes().strip()
        except OSError:
            return False
        return bool(own) and hmac.compare_digest(own, token.encode())

    async def _ask(self, token: str, key: Key) -> Verdict:
        review = await self._client.create(
            TOKEN_REVIEWS, _body(TOKEN_REVIEWS, {"token": token}), fenced=False
        )
        status = review.get("status") or {}
        if not status.get("authenticated"):
            return Verdict.UNKNOWN
        user = status.get("user") or {}
        attributes = {
            "group": WEBSERVERS.group,
            "resource": WEBSERVERS.plural,
            "verb": "get",
            "namespace": key.namespace,
            "name": key.name,
        }
        spec = {
            "user": user.get("username"),
            "uid": user.get("uid"),
            "groups": user.get("groups") or [],
            "extra": user.get("extra") or {},
            "resourceAttributes": attributes,
        }
        answer = await self._client.create(ACCESS_REVIEWS, _body(ACCESS_REVIEWS, spec), fenced=False)
        allowed = (answer.get("status") or {}).get("allowed")
        return Verdict.ALLOWED if allowed else Verdict.FORBIDDEN


def _body(kind: Kind, spec: dict[str, Any]) -> Object:
    """A review: it is answered, not stored, and has no namespace."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"namespace": ""},
        "spec": {name: value for name, value in spec.items() if value},
    }
