"""What the process side knows about one connection."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from mpm_worker.entrance import Transport
    from mpm_worker.http import Connection, Request
    from mpm_worker.wsgi import Spool


class Client:
    """One connection. `since` is when its present state began (monotonic); `timeout` is its socket's (ms).

    The last eight belong to the event loop: a slot has it; something happened on the socket; its end was
    seen; the descriptor (which the socket forgets when it is closed); the request whose body is still
    awaited; what has come of that body, when it is long; when it began; how many bytes had come at the last
    look.

    `transport` reads the socket where that takes more than a read; `trusted`: the peer is a proxy that is
    believed when it names the client; `origin`: the connection's own peer and part of the environ.
    """

    __slots__ = (
        *("connection", "leaving", "number", "release", "served", "since", "sock", "timeout"),
        *("origin", "transport", "trusted"),
        *("held", "again", "ended", "descriptor", "request", "spool", "began", "arrived"),
    )

    def __init__(self, sock: socket.socket, connection: Connection, number: int, release: int) -> None:
        self.sock, self.connection, self.number, self.release = sock, connection, number, release
        self.timeout = 0
        self.served = 0
        self.leaving = False
        self.transport: Transport | None = None
        self.trusted = False
        self.origin: tuple[tuple[str, str] | None, dict[str, str] | None] = (None, None)
        self.since = time.monotonic()
        self.held = self.again = self.ended = False
        self.descriptor = sock.fileno()
        self.request: Request | None = None
        self.spool: Spool | None = None
        self.began = 0.0
        self.arrived = 0

    def forget_body(self) -> None:
        """What came of a request that nobody will answer."""
        if self.spool is not None:
            self.spool.close()
            self.spool = None
