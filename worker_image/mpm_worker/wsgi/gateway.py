"""One request, from its head to the last byte of its response (PEP 3333; RFC 9112, 6 and 9)."""

from __future__ import annotations

import io
import select
import socket
import struct
import sys
import traceback
from os import sendfile
from ssl import SSLSocket
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mpm_worker.http.errors import ProtocolError
from mpm_worker.http.response import CONTINUE, Start, error_response, read_start
from mpm_worker.wsgi.body import BodyStream
from mpm_worker.wsgi.files import FileWrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mpm_worker.http import Connection, Request
    from mpm_worker.wsgi.server import Server, Settings

# An unread request body up to this size is read and thrown away to keep the connection; beyond it closing is cheaper.
_DRAIN: Final = 65536
_DRAIN_SECONDS: Final = 2.0
# Up to here head and body are joined into one send; beyond it the copy costs more than a second buffer.
_JOIN: Final = 65536
_SENDFILE: Final = 1 << 20
_RESET: Final = struct.pack("ii", 1, 0)


class Outcome(NamedTuple):
    """What became of the connection. `sent` counts bytes of content.

    `keep_alive` false: the caller closes, lingering for what the client still sends; `abort`: at once and without
    lingering, for the client must not take what it has for the whole (the socket is set to reset on close).
    """

    keep_alive: bool
    status: int
    sent: int
    abort: bool = False


class _ClientGone(OSError):
    """The response cannot be sent: no fault of the application."""


class _Empty(io.RawIOBase):
    """wsgi.input of every request without a body; it has no state to share."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return 0


def serve(
    sock: socket.socket,
    connection: Connection,
    request: Request,
    app: Callable[..., Iterable[bytes]],
    server: Server,
    settings: Settings,
    must_close: Callable[[], bool],
) -> Outcome:
    """Runs `app` for `request`. `must_close` is asked once, when the response's head is made."""
    exchange = _Exchange(sock, connection, request, settings, must_close)
    environ = server.environ.copy()
    environ.update(request.cgi)
    environ["REQUEST_METHOD"] = request.method
    environ["PATH_INFO"] = request.path
    environ["QUERY_STRING"] = request.query
    environ["REQUEST_URI"] = request.target_text
    environ["SERVER_PROTOCOL"] = "HTTP/1.1" if request.version[1] else "HTTP/1.0"
    environ["wsgi.input"] = exchange.open_body()
    peer = connection.peer
    if peer is not None:
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = peer
    result: Iterable[bytes] | None = None
    try:
        result = app(environ, exchange.start_response)
        exchange.respond(result)
    except (Exception, SystemExit) as error:
        exchange.fail(error, environ)
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            try:
                close()
            except Exception:
                traceback.print_exc(file=environ["wsgi.errors"])
    return exchange.end()


def reject(sock: socket.socket, error: ProtocolError) -> int:
    """Sends the answer that names the broken rule; the bytes sent, 0 when the client is gone."""
    answer = error_response(error)
    try:
        sock.sendall(answer)
    except OSError:
        return 0
    return len(answer)


class _Exchange:
    """The response as it grows: not started, head sent, ended or broken."""

    __slots__ = (
        "_body", "_broken", "_chunked", "_connection", "_head_sent", "_keep", "_left", "_must_close", "_request",
        "_sent", "_settings", "_sock", "_start", "_status",
    )  # fmt: skip

    def __init__(
        self,
        sock: socket.socket,
        connection: Connection,
        request: Request,
        settings: Settings,
        must_close: Callable[[], bool],
    ) -> None:
        self._sock = sock
        self._connection = connection
        self._request = request
        self._settings = settings
        self._must_close = must_close
        self._body: BodyStream | None = None
        self._start: Start | None = None
        self._head_sent = False
        self._chunked = False
        self._left: int | None = None  # bytes of a declared Content-Length still to be sent
        self._keep = False
        self._broken = False
        self._sent = 0
        self._status = 0

    # -- the request's side

    def open_body(self) -> io.BufferedReader:
        if self._connection.body_done:
            return _EMPTY
        invite = self._invite if self._request.expect_continue else None
        self._body = BodyStream(self._sock, self._connection, self._settings.timeout, invite)
        return io.BufferedReader(self._body, 16384)

    def _invite(self) -> None:
        """100 Continue, unless the answer is on its way already."""
        if not self._head_sent:
            self._send(CONTINUE)

    # -- the application's side

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        if exc_info is not None:
            try:
                if self._head_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._start is not None:
            raise AssertionError("start_response was called again without exc_info (PEP 3333)")
        self._start = read_start(status, headers)
        return self.write

    def write(self, block: bytes) -> None:
        if not isinstance(block, bytes):
            raise TypeError(f"write() takes bytes, not {type(block).__name__} (PEP 3333)")
        if block:
            self._send_block(block)

    def respond(self, result: Iterable[bytes]) -> None:
        """Sends what the application returned, block by block as it comes."""
        if not self._head_sent and (type(result) is list or type(result) is tuple):
            self._send_whole(b"".join(result) if len(result) != 1 else result[0])
            return
        if isinstance(result, FileWrapper) and self._send_file(result):
            return
        for block in result:
            if not isinstance(block, bytes):
                raise TypeError(f"the application yielded {type(block).__name__}, not bytes (PEP 3333)")
            if block and not self._send_block(block):
                break
        self._finish()

    def _started(self) -> Start:
        if self._start is None:
            raise AssertionError("the application sent content before it called start_response (PEP 3333)")
        return self._start

    def _send_whole(self, body: bytes) -> None:
        if not isinstance(body, bytes):
            raise TypeError(f"the application returned {type(body).__name__}, not bytes (PEP 3333)")
        start = self._started()
        if start.length is None and (body or self._request.method != "HEAD"):
            start.length = len(body)
        if body:
            self._send_block(body)
        self._finish()

    def _send_file(self, wrapper: FileWrapper) -> bool:
        if self._head_sent or isinstance(self._sock, SSLSocket) or (file := wrapper.regular_file()) is None:
            return False
        descriptor, offset, size = file
        start = self._started()
        if start.length is None:
            start.length = size
        head = self._head()
        if start.bodyless or self._request.method == "HEAD":
            self._send(head)
            return True
        self._send(head, socket.MSG_MORE if size else 0)
        left = min(size, start.length)
        while left:
            count = self._sendfile(descriptor, offset, min(left, _SENDFILE))
            if not count:
                break
            offset += count
            left -= count
            self._sent += count
            self._left = (self._left or 0) - count
        self._finish()
        return True

    def _sendfile(self, descriptor: int, offset: int, count: int) -> int:
        while True:
            try:
                return sendfile(self._sock.fileno(), descriptor, offset, count)
            except BlockingIOError:
                self._wait_for_room()
            except OSError as error:
                raise self._gone(error) from error

    def _wait_for_room(self) -> None:
        poll = select.poll()
        poll.register(self._sock, select.POLLOUT)
        if not poll.poll(self._settings.timeout * 1000):
            raise self._gone(TimeoutError("the client takes no bytes"))

    # -- the response's side

    def _send_block(self, block: bytes) -> bool:
        """Sends content, after the head if it is the first; False = the declared length is reached."""
        head = b"" if self._head_sent else self._head()
        if self._request.method == "HEAD" or self._started().bodyless:
            if head:
                self._send(head)
            return False
        if self._left is not None:
            if len(block) > self._left:
                self._log("the application sent more than its Content-Length: the rest was cut")
                block = block[: self._left]
            self._left -= len(block)
        size = len(block)
        if self._chunked:
            block = b"%x\r\n%b\r\n" % (size, block)
        if size > _JOIN and head:
            self._send(head, socket.MSG_MORE)
            head = b""
        if head or block:
            self._send(head + block if head else block)
        self._sent += size
        return self._left != 0

    def _finish(self) -> None:
        """The application has no more: the end of the message, or its loss."""
        if not self._head_sent:
            start = self._started()
            if start.length is None and self._request.method != "HEAD":
                start.length = 0
            self._send(self._head())
        if self._request.method == "HEAD" or self._started().bodyless:
            return
        if self._left:
            self._log(f"the application sent {self._left} bytes less than its Content-Length")
            self._keep = False
        elif self._chunked:
            self._send(b"0\r\n\r\n")

    def _head(self) -> bytes:
        """Decides framing and persistence (RFC 9112, 6.3 and 9.3)."""
        start = self._started()
        request = self._request
        text = start.text
        length = start.length
        without_content = start.bodyless or request.method == "HEAD"
        if start.code == 204 or start.code == 205:
            length = None if start.code == 204 else 0
        framed = without_content or length is not None
        if length is not None:
            text += f"Content-Length: {length}\r\n"
        elif not framed and request.version[1]:
            text += "Transfer-Encoding: chunked\r\n"
            self._chunked = framed = True
        self._left = None if without_content else length
        self._keep = framed and request.keep_alive and self._body_in_reach() and not self._must_close()
        if not self._keep:
            text += "Connection: close\r\n"
        elif not request.version[1]:
            text += "Connection: keep-alive\r\n"
        self._head_sent = True
        self._status = start.code
        return f"{text}\r\n".encode("latin-1")

    def _body_in_reach(self) -> bool:
        """Whether the connection can be kept although the application may not read (the rest of) the body."""
        connection = self._connection
        if connection.body_done:
            return True
        if connection.eof or connection.error is not None or self._uninvited():
            return False
        left = connection.body_left
        return left is None or left <= _DRAIN

    def _uninvited(self) -> bool:
        """Whether the client still waits for 100 Continue: nobody can know if the body will come."""
        return self._body is not None and self._body.uninvited

    def _send(self, data: bytes, flags: int = 0) -> None:
        try:
            count = self._sock.send(data, flags) if flags else self._sock.send(data)
            if count < len(data):
                view = memoryview(data)
                while count < len(data):
                    count += self._sock.send(view[count:])
        except OSError as error:
            raise self._gone(error) from error

    def _gone(self, error: OSError) -> _ClientGone:
        self._broken = True
        return _ClientGone(f"the response could not be sent: {error}")

    # -- the end

    def fail(self, error: BaseException, environ: dict[str, Any]) -> None:
        """An exception left the application, or the response could not go on."""
        if self._broken:
            return
        refusal = self._connection.error
        if refusal is None:
            self._log("the application failed", error)
        if self._head_sent:
            self._broken = True
            return
        answer = refusal or ProtocolError(500, "the application failed; the server's error log says how")
        self._head_sent = True
        self._keep = False
        self._status = answer.status
        answer.bodyless = self._request.method == "HEAD"
        try:
            self._send(error_response(answer))
        except _ClientGone:
            pass

    def end(self) -> Outcome:
        if self._body is not None:
            self._body.end()
        if self._broken:
            try:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            except OSError:
                pass
            return Outcome(False, self._status, self._sent, abort=True)
        keep = self._keep and (self._connection.body_done or self._drained())
        return Outcome(keep, self._status, self._sent)

    def _drained(self) -> bool:
        """Reads the rest of an unread body, within bounds of bytes and time."""
        connection = self._connection
        budget = _DRAIN
        try:
            while not connection.skip_body():
                if budget <= 0:
                    return False
                self._sock.settimeout(min(_DRAIN_SECONDS, self._settings.timeout))
                data = self._sock.recv(_DRAIN)
                budget -= len(data)
                connection.receive(data)
        except (OSError, ProtocolError):
            return False
        finally:
            self._sock.settimeout(self._settings.timeout)
        return True

    def _log(self, message: str, error: BaseException | None = None) -> None:
        lines = [f"{self._request.method} {self._request.target_text}: {message}\n"]
        if error is not None:
            lines += traceback.format_exception(error)
        sys.stderr.write("".join(lines))


_EMPTY: Final = io.BufferedReader(_Empty(), 1)
