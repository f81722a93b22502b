"""wsgi.input: the request body as a lazy binary file."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any, Final

from mpm_worker.http.errors import ProtocolError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from mpm_worker.http import Connection

_RECEIVE: Final = 65536
# A body may make a slot wait for the timeout, longer only while it brings this (httpd's RequestReadTimeout).
BYTES_PER_SECOND: Final = 500
# An unread body up to this size is read and thrown away to keep the connection; beyond it closing is cheaper.
DRAIN: Final = 65536
_DRAIN_SECONDS: Final = 2.0


class RequestBodyError(OSError):
    """The body ended early, broke the rules, grew too long or came too slowly: what was read is not all."""


class BodyStream(io.RawIOBase):
    """The raw side of wsgi.input; io.BufferedReader above it brings read, readline and iteration.

    Nothing is received before the application reads; then `invite` is called (RFC 9110, 10.1.1). `before` is
    what was taken out of the connection already.
    """

    def __init__(
        self,
        sock: socket.socket,
        connection: Connection,
        timeout: float,
        invite: Callable[[], None] | None,
        before: io.BufferedIOBase | None = None,
    ) -> None:
        self._sock = sock
        self._connection: Connection | None = connection
        self._timeout = timeout
        self._invite = invite
        self._before = before
        self._waited = 0.0
        self._received = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        connection = self._living()
        left = connection.body_left
        if left and not connection.body_arrived and self._before is None:
            # A body of known length goes from the kernel straight into the reader's memory.
            count: int = self._wait(connection, self._sock.recv_into, buffer, min(left, len(buffer)))
            if count:
                connection.took(count)
                self._count(connection, count)
                return count
            connection.receive(b"")
        piece = self.take(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def readall(self) -> bytes:
        pieces = []
        while piece := self.take(1 << 20):
            pieces.append(piece)
        return b"".join(pieces)

    def take(self, most: int) -> bytes:
        """At most `most` bytes, waiting for them; b"" = the end of the body."""
        connection = self._living()
        if self._before is not None:
            if piece := self._before.read(most):
                return piece
            self._before = None
        while True:
            try:
                arrived = connection.read_body(most)
            except ProtocolError as error:
                raise RequestBodyError(str(error)) from error
            if arrived is not None:
                return arrived
            data: bytes = self._wait(connection, self._sock.recv, _RECEIVE)
            connection.receive(data)
            self._count(connection, len(data))

    def end(self) -> None:
        """The request is over: what comes now belongs to the next one."""
        self._connection = None

    def _living(self) -> Connection:
        if self._connection is None:
            raise ValueError("wsgi.input was read after its response had ended")
        return self._connection

    def _wait(self, connection: Connection, receive: Callable[..., Any], *arguments: Any) -> Any:
        if self._invite is not None:
            self._invite()
            self._invite = None
        started = time.monotonic()
        try:
            return receive(*arguments)
        except TimeoutError:
            error = connection.refuse(408, f"nothing more of the body came in {self._timeout:g} seconds")
            raise RequestBodyError(str(error)) from None
        except OSError as error:
            raise RequestBodyError(str(connection.refuse(400, f"the client went away: {error}"))) from error
        finally:
            self._waited += time.monotonic() - started

    def _count(self, connection: Connection, count: int) -> None:
        self._received += count
        late = self._waited > self._timeout + self._received / BYTES_PER_SECOND
        if late and not connection.body_done:
            error = connection.refuse(408, f"the body came slower than {BYTES_PER_SECOND} bytes a second")
            raise RequestBodyError(str(error))


def drain(sock: socket.socket, connection: Connection, timeout: float) -> bool:
    """Reads the rest of an unread body, within bounds of bytes and time; whether that was all of it."""
    budget = DRAIN
    deadline = time.monotonic() + min(_DRAIN_SECONDS, timeout)
    try:
        while not connection.skip_body():
            remaining = deadline - time.monotonic()
            if budget <= 0 or remaining <= 0:
                return False
            sock.settimeout(remaining)
            data = sock.recv(_RECEIVE)
            budget -= len(data)
            connection.receive(data)
    except (OSError, ProtocolError):
        return False
    finally:
        sock.settimeout(timeout)
    return True
