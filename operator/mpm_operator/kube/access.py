"""Who may read a WebServer's pages: whoever may `get` the WebServer, and who has the agents' token.

The API server is asked (TokenReview, then SubjectAccessReview), so there is one place where rights are given.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections import OrderedDict
from enum import Enum
from typing import TYPE_CHECKING, Any

from .resources import WEBSERVERS, Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .client import Client
    from .resources import Key, Object

TOKEN_REVIEWS = Kind("authentication.k8s.io", "v1", "tokenreviews", "TokenReview")
ACCESS_REVIEWS = Kind("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview")

ALLOWED_SECONDS = 60.0
"""How long a yes holds: an agent that scrapes each 10 s must not cost two API calls each time."""
REFUSED_SECONDS = 5.0
_REMEMBERED = 1000
_ASKING = 2
"""Questions under way at once: who knocks with tokens by the hundred must not take the calls that scale."""


class Verdict(Enum):
    """What became of the question."""

    ALLOWED = 200
    UNKNOWN = 401
    """Nobody knows this token."""
    FORBIDDEN = 403


class Access:
    """Asks the API server, and remembers the answer for a while."""

    def __init__(
        self, client: Client, token_file: Path | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._token_file = token_file
        self._clock = clock
        self._known: OrderedDict[tuple[bytes, Key], tuple[float, Verdict]] = OrderedDict()
        self._asking = asyncio.Semaphore(_ASKING)

    async def may_read(self, token: str, key: Key) -> Verdict:
        """Return whether the bearer of the token may get the WebServer.

        Raises APIError or Unreachable when the API server does not say.
        """
        if not token:
            return Verdict.UNKNOWN
        if self._agents(token):
            return Verdict.ALLOWED
        entry = (hashlib.sha256(token.encode()).digest(), key)
        until, verdict = self._known.get(entry, (0.0, Verdict.UNKNOWN))
        if until > self._clock():
            return verdict
        async with self._asking:
            verdict = await self._ask(token, key)
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
