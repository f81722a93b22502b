"""`/apis/webservers/NAMESPACE/NAME/` over HTTP: `server-status` is the merged scoreboard, `decisions` are the
last decisions with all that they were made from.

Only the holder of the lease counts, so a standby passes the question on to it: through a Service, readers
would else see the counters of two processes by turns.
"""

from __future__ import annotations

import asyncio
import base64
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from mpm_operator.core.record import dump
from mpm_operator.scoreboard import VERSION
from mpm_operator.scoreboard.render import auto, document, page
from mpm_worker.status import refresh

from .access import Verdict
from .client import APIError, Unreachable
from .resources import Key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mpm_operator.core.record import Ring

    from .access import Access
    from .merged import Merged

PATH = "/apis/webservers/{namespace}/{name}/"
PASSED_ON = "X-MPM-Passed-On"
"""Marks a question from a standby, so that two processes that disagree about the lease end it."""
PASS_SECONDS = 5.0

_KEPT = ("Content-Type", "Refresh", "WWW-Authenticate", "Retry-After")
"""Fields of the leader's answer that a standby passes back."""
_HEADERS = {"Server": f"{VERSION} (Apache-compatible)", "Cache-Control": "no-store"}


class StatusAPI:
    """The pages.

    `leader` returns "" when this process counts itself, else where the one that does listens (HOST:PORT), or
    None when nobody knows.
    """

    def __init__(self, merged: Merged, ring: Ring, access: Access, leader: Callable[[], str | None]) -> None:
        self._merged = merged
        self._ring = ring
        self._access = access
        self._leader = leader

    def register(self, app: web.Application) -> None:
        app.router.add_get(f"{PATH}server-status", partial(self._get, self._answer))
        app.router.add_get(f"{PATH}decisions", partial(self._get, self._decisions))

    async def _get(
        self, answer: Callable[[web.Request, Key], Awaitable[web.Response]], request: web.Request
    ) -> web.Response:
        leader = self._leader()
        if leader:
            return await self._pass_on(request, leader)
        if leader is None:
            return _text(503, "no operator holds the lease at the moment", {"Retry-After": "2"})
        key = Key(request.match_info["namespace"], request.match_info["name"])
        token = _token(request.headers.get("Authorization", ""))
        try:
            verdict = await self._access.may_read(token, key)
        except (APIError, Unreachable) as error:
            return _text(503, f"the API server cannot be asked who you are: {error}", {"Retry-After": "2"})
        if verdict is Verdict.UNKNOWN:
            refusal = _text(
                401, "a token is needed, as Bearer or as the password of Basic (kubectl create token NAME)"
            )
            # A field for each: of two in one, Chromium sees the first, and asks nobody for a password.
            refusal.headers.add("WWW-Authenticate", "Bearer")
            refusal.headers.add("WWW-Authenticate", 'Basic realm="the password is a token"')
            return refusal
        if verdict is Verdict.FORBIDDEN:
            return _text(
                403, f"you may not get webservers.mpm-operator.io {key}; a RoleBinding to `view` gives that"
            )
        return await answer(request, key)

    async def _decisions(self, _: web.Request, key: Key) -> web.Response:
        """The form of `mpm run --dump`: `mpm explain` shows it, `mpm simulate --replay` makes it again."""
        name = str(key)
        if name not in self._ring.latest:
            return _text(404, f"nothing was decided of a WebServer {key}")
        # Some megabytes at worst: nobody else shall wait while they are written.
        text = await asyncio.to_thread(dump, self._ring.of(name), {name: self._ring.latest[name]})
        return web.Response(text=text, content_type="application/json", headers=_HEADERS)

    async def _answer(self, request: web.Request, key: Key) -> web.Response:
        """As mod_status reads its query: the words count wherever they stand."""
        board = self._merged.board(key)
        if board is None:
            return _text(404, f"there is no WebServer {key}")
        query = request.query_string
        headers = dict(_HEADERS)
        seconds = refresh(query)
        if seconds is not None:
            headers["Refresh"] = seconds
        if "auto" in query:
            headers["Content-Type"] = "text/plain; charset=ISO-8859-1"
            return web.Response(body=auto(board).encode("latin-1", "replace"), headers=headers)
        if "json" in query:
            return web.json_response(document(board), headers=headers)
        text = page(board, table="notable" not in query)
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def _pass_on(self, request: web.Request, leader: str) -> web.Response:
        if PASSED_ON in request.headers:
            return _text(503, "the lease is changing hands", {"Retry-After": "2"})
        headers = {PASSED_ON: "1"}
        token = _token(request.headers.get("Authorization", ""))
        if token:
            headers["Authorization"] = f"Bearer {token}"
        timeout = aiohttp.ClientTimeout(total=PASS_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"http://{leader}{request.path_qs}", headers=headers) as answer,
            ):
                passed = web.Response(body=await answer.read(), status=answer.status, headers=_HEADERS)
                for name in _KEPT:
                    for value in answer.headers.getall(name, ()):
                        passed.headers.add(name, value)
                return passed
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            text = f"the operator that holds the lease does not answer at {leader}: {error!r}"
            return _text(503, text, {"Retry-After": "2"})


def _token(authorization: str) -> str:
    """The bearer token, or the password of Basic: most agents know no other way to send one.

    Nothing where the bytes are no token's (RFC 6750, section 2.1): nobody is asked about those.
    """
    kind, _, rest = authorization.strip().partition(" ")
    token = rest.strip() if kind.lower() == "bearer" else ""
    if kind.lower() == "basic":
        try:
            token = base64.b64decode(rest, validate=True).decode("latin-1").partition(":")[2]
        except ValueError:
            return ""
    return token if token.isascii() and token.isprintable() else ""


def _text(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(text=f"{text}\n", status=status, headers=_HEADERS | (headers or {}))
