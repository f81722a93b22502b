"""The admin port: a small HTTP server inside the supervisor's loop.

No client can hold the loop up: sockets never block, a request must be complete within seconds and small,
nobody is read or answered who has not yet read the last answer, streams are few, and when too many are
connected the longest waiting makes room. No exception of a handler ends the loop. Pages
for people and agents may take a twentieth of the time; beyond that they wait in line, unlike probes and
control. What is answered is the business of `handle`.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mpm_worker.budget import Budget
from mpm_worker.http import Connection, Limits, ProtocolError
from mpm_worker.say import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_worker.http import Request
    from mpm_worker.listeners import Listeners

_LIMITS = Limits(header_bytes=16384, body=65536)
_PATIENCE = 10.0
"""Seconds for a whole request, or for a reader to take the next byte."""
_IDLE = 75.0
"""Seconds a connection without a request is kept; longer than people let pass between two scrapes."""
_MOST_CLIENTS = 256
_MOST_STREAMS = 64
"""Far fewer than clients: who watches must leave room for probes and control."""
_MOST_AHEAD = 16384
"""Bytes that may come behind a page that waits in line."""
_PAGES = ("/server-status", "/scoreboard", "/metrics")
_PAGES_SHARE, _PAGES_BURST = 0.05, 0.1
_MOST_UNREAD = 1 << 20
"""Bytes of one stream that may wait for its reader."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back. `stream`: nothing is the end of it, lines follow."""

    body: bytes = b""
    status: int = 200
    type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    stream: bool = False


@dataclass(eq=False, slots=True)
class _Client:
    sock: socket.socket
    connection: Connection = field(default_factory=lambda: Connection(_LIMITS))
    request: Request | None = None
    body: bytes = b""
    unsent: bytes = b""
    moved: float = field(default_factory=time.monotonic)
    streaming: bool = False
    chunked: bool = True
    answered: bool = False
    last: bool = False
    parked: bool = False
    """Its request is in the line of pages."""
    ahead: int = 0
    """Bytes that came while it was."""


_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Admin:
    """The port and its clients.

    :param handle: makes the answer to a request and its body; called in the loop, so it must not wait
    :param server: the `Server` field
    """

    def __init__(
        self,
        listeners: Listeners,
        selector: selectors.BaseSelector,
        handle: Callable[[Request, bytes], Answer],
        server: str,
    ) -> None:
        self._listener = listeners.seat(0)[0]
        self._selector, self._handle, self._server = selector, handle, server
        self._clients: dict[_Client, None] = {}
        self._parked: deque[tuple[_Client, Request, bytes]] = deque()
        self._budget = Budget(_PAGES_SHARE, _PAGES_BURST, time.monotonic())
        listeners.listen(0)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        """Close every descriptor; also called in a new child, which must not keep them open."""
        for client in self._clients:
            client.sock.close()
        self._clients.clear()
        self._listener.close()

    @property
    def watched(self) -> bool:
        return any(client.streaming for client in self._clients)

    def publish(self, line: bytes) -> None:
        """Send a line to every stream."""
        chunk = _chunk(line)
        for client in [client for client in self._clients if client.streaming]:
            if len(client.unsent) > _MOST_UNREAD:
                self._drop(client)
            else:
                self._send(client, chunk if client.chunked else line)

    def wait(self) -> float:
        """Seconds until `serve_parked` has something to do."""
        return self._budget.wait(time.monotonic()) if self._parked else float("inf")

    def serve_parked(self) -> None:
        """Answer pages that had to wait, as far as their share of the time goes."""
        while self._parked and not self._budget.wait(time.monotonic()):
            client, request, body = self._parked.popleft()
            if client in self._clients:
                client.parked = False
                self._page(client, request, body)
                self._advance(client)

    def sweep(self) -> None:
        """Drop who keeps us waiting."""
        now = time.monotonic()
        for client in list(self._clients):
            idle = client.answered and client.connection.idle() and not client.unsent and not client.last
            if idle and client.streaming:
                continue
            if now - client.moved > (_IDLE if idle else _PATIENCE):
                self._drop(client)

    # -- sockets

    def _accept(self, _: int) -> None:
        for _turn in range(64):
            try:
                sock, _address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                self._make_room()  # out of descriptors
                return
            sock.setblocking(False)
            client = _Client(sock)
            self._clients[client] = None
            self._selector.register(sock, selectors.EVENT_READ, lambda mask, c=client: self._ready(c, mask))
            if len(self._clients) > _MOST_CLIENTS:
                self._make_room(client)

    def _make_room(self, newcomer: _Client | None = None) -> None:
        """Drop the longest waiting that is no stream, or else the oldest stream; never who just came."""
        others = [client for client in self._clients if client is not newcomer]
        for client in sorted(others, key=lambda client: client.streaming)[:1]:
            self._drop(client)

    def _drop(self, client: _Client) -> None:
        if client in self._clients:
            del self._clients[client]
            self._selector.unregister(client.sock)
            client.sock.close()

    def _ready(self, client: _Client, mask: int) -> None:
        if client not in self._clients:
            return
        if mask & selectors.EVENT_WRITE:
            self._send(client, b"")
            self._advance(client)
        if mask & selectors.EVENT_READ and client in self._clients:
            self._read(client)

    def _read(self, client: _Client) -> None:
        try:
            data = client.sock.recv(16384)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)
            return
        if client.streaming or client.last:
            if not data:
                self._drop(client)
            return
        if client.parked:  # still read, because only so is it seen that the client is gone
            client.ahead += len(data)
            if client.ahead > _MOST_AHEAD:
                self._drop(client)
                return
        between = client.connection.idle()
        client.connection.receive(data)
        if between and not client.connection.idle():
            client.moved = time.monotonic()
        self._advance(client)
        if not data and client in self._clients and not client.unsent and not client.streaming:
            self._drop(client)

    def _advance(self, client: _Client) -> None:
        """Answer every request that is complete, until an answer is not taken at once."""
        connection = client.connection
        try:
            while client in self._clients and not (
                client.streaming or client.last or client.parked or client.unsent
            ):
                if client.request is None:
                    client.request = connection.next_request()
                    if client.request is None:
                        return
                while piece := connection.read_body(65536):
                    client.body += piece
                if piece is None:
                    return
                request, body = client.request, client.body
                client.request, client.body = None, b""
                now = client.moved = time.monotonic()
                if request.path == "/scoreboard" and "watch" in request.query:
                    self._watch(client, request, body)
                elif request.path not in _PAGES:
                    self._answer(client, request, self._safely(request, body))
                elif self._parked or self._budget.wait(now):
                    client.parked, client.ahead = True, 0
                    self._parked.append((client, request, body))
                else:
                    self._page(client, request, body)
        except ProtocolError as error:
            client.last = True
            text = f"{error.status}: {error.rule}\n".encode()
            self._send(client, _head(error.status, self._server, "text/plain", len(text), close=True) + text)

    def _watch(self, client: _Client, request: Request, body: bytes) -> None:
        if sum(other.streaming for other in self._clients) < _MOST_STREAMS:
            answer = self._safely(request, body)
        else:
            answer = Answer(f"{_MOST_STREAMS} streams are open already\n".encode(), 503)
        self._answer(client, request, answer)

    def _safely(self, request: Request, body: bytes) -> Answer:
        """What `handle` answers, or 500: a fault in one page must not end what serves the site."""
        try:
            return self._handle(request, body)
        except Exception as error:
            say(f"{request.method} {request.path} on the admin port failed: {error!r:.500}")
            return Answer(b"Internal error; standard error of the worker tells more.\n", 500)

    def _page(self, client: _Client, request: Request, body: bytes) -> None:
        began = time.thread_time()  # on a machine that others load, time passes without being taken
        self._answer(client, request, self._safely(request, body))
        self._budget.spend(time.thread_time() - began, time.monotonic())

    def _answer(self, client: _Client, request: Request, answer: Answer) -> None:
        client.answered = True
        client.streaming = answer.stream and request.method != "HEAD"
        client.chunked = request.version == (1, 1)
        client.last = not client.streaming and not request.keep_alive
        length = None if answer.stream else len(answer.body)
        more = answer.headers
        if answer.stream and client.chunked:
            more += (("Transfer-Encoding", "chunked"),)
        head = _head(answer.status, self._server, answer.type, length, close=client.last, more=more)
        body = b"" if request.method == "HEAD" else answer.body
        self._send(client, head + (_chunk(body) if client.streaming and client.chunked else body))

    def _send(self, client: _Client, data: bytes) -> None:
        client.unsent += data
        try:
            while client.unsent:
                sent = client.sock.send(client.unsent)
                client.unsent = client.unsent[sent:]
                client.moved = time.monotonic()
        except BlockingIOError:
            pass
        except OSError:
            self._drop(client)
            return
        if client.last and not client.unsent:
            try:
                client.sock.shutdown(socket.SHUT_WR)  # then _read waits for its end, `sweep` not for ever
            except OSError:
                self._drop(client)
                return
        events = selectors.EVENT_WRITE if client.unsent else selectors.EVENT_READ
        if client.streaming:
            events |= selectors.EVENT_READ  # nothing but its end is expected, and it must be seen
        key = self._selector.get_key(client.sock)
        if key.events != events:
            self._selector.modify(client.sock, events, key.data)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _head(
    status: int,
    server: str,
    type_: str,
    length: int | None,
    *,
    close: bool,
    more: tuple[tuple[str, str], ...] = (),
) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}",
        f"Server: {server}",
        f"Content-Type: {type_}",
    ]
    lines += [] if length is None else [f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in more]
    lines += ["Cache-Control: no-store"]
    lines += ["Connection: close"] if close else []
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
