"""The response as it grows (PEP 3333; RFC 9112, 6 and 9): head, framing, content, end or breakdown."""

from __future__ import annotations

import os
import socket
import struct
import traceback
from collections.abc import Sized
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mpm_worker import compiled
from mpm_worker.http.errors import ProtocolError
from mpm_worker.http.response import CONTINUE, content_length, error_response, read_start
from mpm_worker.requestid import request_id
from mpm_worker.say import stamp
from mpm_worker.wsgi.body import DRAIN, RequestBodyError, drain
from mpm_worker.wsgi.files import FileWrapper
from mpm_worker.wsgi.sending import is_tls, send_both, send_file, send_rest, send_some
from mpm_worker.wsgi.short import ShortWay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


# Up to here blocks are joined into one send; beyond it the copy costs more than another send.
_JOIN: Final = 65536
_CONTENTLESS: Final = frozenset((204, 205, 304))  # RFC 9110, 15.3.5, 15.3.6, 15.4.5
_RESET: Final = struct.pack("ii", 1, 0)


class Outcome(NamedTuple):
    """What became of the connection. `sent` counts bytes of content.

    `keep_alive` false: the caller closes, lingering for what the client still sends; `abort`: at once,
    since the client is gone or must not take what it has for the whole (the socket is set to reset on close).
    """

    keep_alive: bool
    status: int
    sent: int
    abort: bool = False


if compiled.module is not None:
    compiled.module.use_outcome(Outcome)


class ClientGone(OSError):
    """The response cannot be sent: no fault of the application."""


class Exchange(ShortWay):
    """State of one response; the class attributes are the initial values of what most never change."""

    _contentless = False  # HEAD, 204, 205, 304: content is swallowed
    _chunked = False
    _left: int | None = None  # bytes of the declared length still to be sent
    _cut = False  # the response broke off where only a reset can tell the client
    _invited = True  # whether the client does not wait for 100 Continue

    # -- what the application calls

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any) -> Callable[[bytes], None]:
        if exc_info is not None:
            try:
                if self._head_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # breaks the cycle through the traceback
        elif self._started:
            raise AssertionError("start_response was called again without exc_info (PEP 3333)")
        self._code, self._length, self._text = read_start(status, headers)
        self._started = True
        return self.write

    def write(self, block: bytes) -> None:
        """PEP 3333's write callable: sent when it returns."""
        if not isinstance(block, bytes):
            raise TypeError(f"write() takes bytes, not {type(block).__name__} (PEP 3333)")
        if block and not self._send_block(block) and not self._contentless:
            raise ValueError("write() was called past the Content-Length of the response (PEP 3333)")

    # -- what the application returned

    def respond(self, result: Iterable[bytes]) -> None:
        """Sends the content and the end of the message; a block goes out before the next one is asked for.

        For what `respond_short` does not do.
        """
        if isinstance(result, list) and not self._head_sent:
            self._respond_list(result)
        elif not (isinstance(result, FileWrapper) and self._send_file(result)):
            single = isinstance(result, Sized) and len(result) == 1
            for block in result:
                if not isinstance(block, bytes):
                    raise TypeError(f"the application yielded {type(block).__name__}, not bytes (PEP 3333)")
                if single:
                    self._declare(len(block))
                if block and not self._send_block(block):
                    break
        self._finish()

    def _respond_list(self, blocks: list[bytes]) -> None:
        """All content is there: its length is known, and the application reads no more of the request."""
        if self._has_body:
            self._skip_arrived_body()
        size = len(blocks[0]) if len(blocks) == 1 else sum(map(len, blocks))
        if self._length is None:
            self._declare(size)
        if size <= _JOIN:
            self._send_block(b"".join(blocks))
            return
        for block in blocks:
            if not self._send_block(block):
                break

    def _declare(self, size: int) -> None:
        """The length of the content, unless the application said it.

        Or left all out, where the length would be that of the answer to a GET (RFC 9110, 8.6).
        """
        if self._length is not None or self._head_sent:
            return
        if size or not (self._request.method == "HEAD" or self._code == 304):
            self._length = size

    def _send_block(self, block: bytes) -> bool:
        """Sends content, with the head before the first; False = the message takes no more."""
        head = b"" if self._head_sent else self._make_head()
        if self._contentless:
            if head:
                self._send(head)
            return False
        size = len(block)
        left = self._left
        if left is not None:
            if size > left:
                self.log("the application sent more than its Content-Length: the rest was cut")
                block = block[:left]
            self._left = max(0, left - size)
        elif self._chunked:
            block = b"%x\r\n%b\r\n" % (size, block)
        if len(block) <= _JOIN:
            self._send(head + block)
        else:
            self._send_both(head, block)
        self.sent += size if left is None else min(size, left)
        return left is None or size <= left

    def _finish(self) -> None:
        """The application has no more: ends the message, or leaves it visibly unfinished."""
        if not self._head_sent:
            self._declare(0)
            self._send_block(b"")
        if self._left:
            self.log(f"the application sent {self._left} bytes less than its Content-Length")
            self._keep = False
        elif self._chunked:
            self._send(b"0\r\n\r\n")

    # -- head

    def _make_head(self) -> bytes:
        """Decides framing and persistence (RFC 9112, 6.3 and 9.3)."""
        if not self._started:
            raise AssertionError("the application sent content before it called start_response (PEP 3333)")
        request = self._request
        code = self._code
        if code >= 500 and self._connection.error is not None:
            # The application stumbled over a body that broke the rules: that is what the client must hear.
            raise RequestBodyError(str(self._connection.error))
        length = self._length
        keep = request.keep_alive
        framing = ""
        if request.method == "HEAD" or code in _CONTENTLESS:
            self._contentless = True
            if code == 204:
                length = None
            elif code == 205:
                length = 0
        else:
            self._left = length
            if length is None and request.version[1]:
                framing = "Transfer-Encoding: chunked\r\n"
                self._chunked = True
            elif length is None:
                keep = False  # only the end of the connection can end the content
        if length is not None:
            framing = f"Content-Length: {length}\r\n"
        if self._must_close() or (self._has_body and not self._body_in_reach()):
            keep = False
        if not keep:
            framing += "Connection: close\r\n"
        elif not request.version[1]:
            framing += "Connection: keep-alive\r\n"
        self._keep = keep
        self._head_sent = True
        return f"{self._text}{framing}\r\n".encode("latin-1")

    def _body_in_reach(self) -> bool:
        """Whether the connection can be kept even if the application reads no more of the body."""
        connection = self._connection
        if connection.body_done:
            return True
        if connection.eof or connection.error is not None or not self._invited:
            return False
        left = connection.body_left
        return left is None or left <= DRAIN

    # -- files

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """Sends a regular file by sendfile(2); False = not possible, nothing was sent."""
        file = wrapper.regular_file()
        if file is None or self._head_sent or is_tls(self._sock):
            return False
        descriptor, offset, size = file
        self._declare(size)
        if size <= _JOIN:
            # Head and content leave by one send; two cost more than this copy.
            wanted = size if self._length is None else min(size, self._length)
            if block := os.pread(descriptor, wanted, offset):
                self._send_block(block)
            return True
        # By itself, not in one packet with content (MSG_MORE): so the client is awake when that comes, and
        # takes it while we send: 3 to 8 % less CPU for 1 MiB.
        self._send(self._make_head())
        if self._left:
            try:
                count = send_file(self._sock, descriptor, offset, min(size, self._left), self._timeout)
            except OSError as error:
                raise self._lost(error) from error
            self.sent += count
            self._left -= count
        return True

    # -- socket

    def _send(self, data: bytes) -> None:
        try:
            if (count := send_some(self._sock, data)) < len(data):
                send_rest(self._sock, data, count)
        except OSError as error:
            raise self._lost(error) from error

    def _send_both(self, head: bytes, block: bytes) -> None:
        try:
            send_both(self._sock, head, block)
        except OSError as error:
            raise self._lost(error) from error

    def _send_rest(self, data: bytes, count: int) -> None:
        try:
            send_rest(self._sock, data, count)
        except OSError as error:
            raise self._lost(error) from error

    def _lost(self, error: OSError) -> ClientGone:
        self._gone = True
        return ClientGone(f"the response could not be sent: {error}")

    def expect_body(self) -> Callable[[], None] | None:
        """The request has a body. Gives what sends 100 Continue if the client waits for it."""
        self._has_body = True
        if not self._request.expect_continue or self._connection.body_arrived:
            return None
        self._invited = False
        return self._invite

    def _invite(self) -> None:
        self._invited = True
        if not self._head_sent:
            self._send(CONTINUE)

    # -- end

    def fail(self, error: BaseException) -> None:
        """An exception left the application, or the content could not be sent."""
        if self._gone:
            return
        refusal = self._connection.error
        if refusal is None or not isinstance(error, RequestBodyError):
            self.log("the application failed", error)
        self._keep = False
        if self._head_sent:
            # Without length and chunks the end of the connection is the end of the content.
            self._cut = not self._chunked and self._left is None and not self._contentless
            self._chunked = False
            return
        answer = refusal or ProtocolError(500, "the application failed; the error log of the server says how")
        answer.bodyless = self._request.method == "HEAD"
        self._code = answer.status
        self._head_sent = True
        whole = error_response(answer)
        try:
            self._send(whole)
        except ClientGone:
            return
        self.sent = content_length(whole)

    def end(self) -> Outcome:
        """To be called once, after everything; reads the rest of the request's body if that is worth it."""
        if self._gone or self._cut:
            try:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            except OSError:
                pass  # gone already
            return Outcome(False, self._code, self.sent, abort=True)
        keep = self._keep
        if keep and self._has_body and not self._connection.body_done:
            keep = drain(self._sock, self._connection, self._timeout)
        return Outcome(keep, self._code, self.sent)

    def _skip_arrived_body(self) -> None:
        if self._connection.error is None and self._invited:
            try:
                self._connection.skip_body()
            except ProtocolError as error:
                raise RequestBodyError(str(error)) from error

    def log(self, message: str, error: BaseException | None = None) -> None:
        """Into wsgi.errors; one write, so that threads do not mix their lines."""
        trace = "" if error is None else "".join(traceback.format_exception(error))
        try:
            line = f"{self._request.method} {self._request.target_text}"
            self._errors.write(f"{stamp()}[{request_id(self._connection)}] {line}: {message}\n{trace}")
            self._errors.flush()
        except (OSError, ValueError):
            pass  # a full disk or a closed pipe must not cost the client its answer
