"""The server's side of one connection: bytes in, requests and their bodies out, in order (RFC 9112, 9.3)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from mpm_worker import compiled
from mpm_worker.http.chunks import ChunkedBody
from mpm_worker.http.errors import Limits, ProtocolError
from mpm_worker.http.fields import KNOWN, Fields, Lines, parse_fields, read_line
from mpm_worker.http.lines import HeadLines
from mpm_worker.http.target import parse_request_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_worker.http.target import RequestLine

    _Again = tuple[bytes, "Request"] | None

_DEFAULT_LIMITS: Final = Limits()
_AGAIN_MOST: Final = 2048
# Ignored before a request line (RFC 9112, 2.2).
_EMPTY_LINES: Final = re.compile(rb"\A(?:\r\n)+").sub
_EMPTY_MOST: Final = 1024
"""At a time; a flood of them would keep a loop busy for nothing."""


class Request:
    """A request whose head is complete. Its body, if any, is read through the connection.

    `path` is percent-decoded latin-1 text (PEP 3333); `target_text` and `query` are as they were sent. `cgi`
    holds the fields under CGI's names and is shared: copy it, never change it. When a head comes `again`
    as it was, the same object is given; `memo` is for what the caller makes of it each time. `brief` is the
    method, a space and the path; `lines` is the compiled reader's, for the next head.
    """

    __slots__ = (
        "again",
        "brief",
        "cgi",
        "expect_continue",
        "keep_alive",
        "lines",
        "memo",
        "method",
        "path",
        "query",
        "target_text",
        "version",
    )

    def __init__(self, line: RequestLine, fields: Fields) -> None:
        self.method, self.target_text, self.path, self.query, minor, authority = line
        self.cgi = fields.cgi if authority is None else {**fields.cgi, "HTTP_HOST": authority}
        self.brief = f"{self.method} {self.path}"
        self.again = False
        self.memo: dict[str, Any] | None = None
        self.lines: list[tuple[str, str, int]] | None = None
        if minor != "0":
            # A higher minor version is served as the highest one known (RFC 9110, 2.5).
            self.version = (1, 1)
            self.keep_alive = not fields.close
            self.expect_continue = fields.expect
        else:
            self.version = (1, 0)
            self.keep_alive = fields.keep_alive and not fields.close
            self.expect_continue = False

    @property
    def target(self) -> bytes:
        """The request-target as it was sent."""
        return self.target_text.encode("latin-1")

    @property
    def headers(self) -> dict[str, str]:
        """The fields by lower-case name, repeated ones joined."""
        return {key.removeprefix("HTTP_").replace("_", "-").lower(): value for key, value in self.cgi.items()}

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target_text}>"


_read_common_head: Callable[[bytes, int, Limits, Lines, _Again], Request | None] | None = None
if compiled.module is not None:
    compiled.module.use_heads(KNOWN, read_line, Request)
    _read_common_head = compiled.module.read_head


class Connection:
    """Sans-IO state of one client connection.

    `receive` never raises: what is wrong comes out of `next_request` or `read_body`, where it stands in the
    stream, after the requests before it, and then stays. `peer`, (address, port), `host`, its
    name if it was looked up, and `environ`, what else it puts into the environ, are the caller's. So are
    `label`, `given_id` and `serial`, which name its requests.
    """

    __slots__ = (
        "_again",
        "_chunks",
        "_data",
        "_error",
        "_head_asked",
        "_last",
        "_left",
        "_lines",
        "_own",
        "_searched",
        "environ",
        "eof",
        "given_id",
        "host",
        "label",
        "limits",
        "peer",
        "serial",
    )

    def __init__(self, limits: Limits = _DEFAULT_LIMITS) -> None:
        self.limits = limits
        self.peer: tuple[str, str] | None = None
        self.host = ""
        self.environ: dict[str, str] | None = None
        self.label = self.given_id = ""
        self.serial = 0
        self.eof = False
        self._data = b""
        self._searched = 0
        self._lines: HeadLines | None = None
        self._last: tuple[bytes, Fields] | None = None
        # The last head and what it became, when it had no body: clients that poll send nothing else.
        self._again: _Again = None
        self._own: Lines = {}
        self._left = 0
        self._chunks: ChunkedBody | None = None
        self._head_asked = False  # by the request whose body is being read
        self._error: ProtocolError | None = None

    def receive(self, data: bytes) -> None:
        """Adds what the socket gave; b"" = the client ended its side."""
        if not data:
            self.eof = True
        elif self._error is not None:
            pass  # nothing is read after an error
        elif self._data:
            self._data += data
        else:
            self._data = data

    def idle(self) -> bool:
        """Whether nothing of a next request has come: a kept-alive connection that may be closed."""
        return self._error is None and self.body_done and not self._data.strip(b"\r\n")

    @property
    def at_rest(self) -> bool:
        """Whether there is nothing to do before more bytes have come."""
        return not (self._data or self._left or self._chunks is not None or self._error is not None)

    @property
    def error(self) -> ProtocolError | None:
        """What ended this stream of requests, once it has come out."""
        return self._error

    def refuse(self, status: int, rule: str) -> ProtocolError:
        """Ends the stream for a reason that only the caller sees, such as a clock that ran out."""
        return self._keep(ProtocolError(status, rule))

    def _keep(self, error: ProtocolError) -> ProtocolError:
        if self._error is None:
            error.bodyless = self._data.startswith(b"HEAD ") if self.body_done else self._head_asked
            self._error = error
            self._data = b""
        return self._error

    # -- heads

    def next_request(self) -> Request | None:
        """The next request whose head is complete; None = more bytes are needed (after `eof`: there is none).

        What is left of the previous request's body is skipped first. Raises ProtocolError.
        """
        again = self._again
        if again is not None and again[0] == self._data and self._chunks is None and not self._left:
            self._data, self._searched, self._lines = b"", 0, None
            again[1].again = True
            return again[1]
        if self._error is not None:
            raise self._error
        try:
            if (self._left or self._chunks is not None) and not self.skip_body():
                return None
            data = self._data
            end = data.find(b"\r\n\r\n", self._searched)
            if data.startswith(b"\r\n"):
                self._data = data = _EMPTY_LINES(b"", before := data)
                if len(before) - len(data) > _EMPTY_MOST:
                    raise ProtocolError(400, f"more than {_EMPTY_MOST} bytes of empty lines (RFC 9112, 2.2)")
                end = data.find(b"\r\n\r\n")
            if end >= 0:
                return self._read_head(data, end)
            if data:
                self._wait(data)
            return None
        except ProtocolError as error:
            raise self._keep(error) from None

    def unread(self, request: Request) -> bytes | None:
        """The bytes that the last request came as, for another connection to read; None when they are gone.

        They are there when it is short, has no body, and nothing stands behind it: the common case.
        """
        again = self._again
        return (
            again[0] if again is not None and again[1] is request and self.idle() and not self.eof else None
        )

    def _wait(self, data: bytes) -> None:
        """Refuses as early as possible what cannot become a head."""
        if self._lines is None:
            self._lines = HeadLines(self.limits)
        self._lines.advance(data)
        if self.eof:
            raise ProtocolError(400, "the connection ended inside a request head (RFC 9112, 8)")
        self._searched = max(0, len(data) - 3)

    def _read_head(self, data: bytes, end: int) -> Request:
        self._searched = 0
        self._lines = None
        limits = self.limits
        if _read_common_head is not None and (
            request := _read_common_head(data, end, limits, self._own, self._again)
        ):
            self._data = rest = data[end + 4 :]
            self._again = (data, request) if not rest and len(data) <= _AGAIN_MOST else None
            return request
        eol = data.find(b"\r\n")
        try:
            if eol > limits.request_line or end - eol - 2 > limits.header_bytes:
                raise ValueError("the head is too long")
            line = parse_request_line(data[:eol].decode("latin-1"))
            fields = self._read_fields(data[eol + 2 : end], limits.header_count)
        except (ProtocolError, ValueError) as error:
            HeadLines(limits).advance(data[: end + 4])
            if isinstance(error, ProtocolError):
                raise
            raise ProtocolError(400, "the header section breaks the grammar (RFC 9112, 5)") from error
        if not fields.plain or line[4] == "0":
            self._begin_body(line, fields)
        self._data = rest = data[end + 4 :]
        request = Request(line, fields)
        self._again = (data, request) if fields.plain and not rest and len(data) <= _AGAIN_MOST else None
        return request

    def _read_fields(self, section: bytes, most: int) -> Fields:
        """Most clients send the same section with each request of a connection: it is read once."""
        last = self._last
        if last is not None and last[0] == section:
            return last[1]
        fields = parse_fields(section.decode("latin-1"), most, self._own)
        self._last = (section, fields) if len(section) <= 1024 else None
        return fields

    def _begin_body(self, line: RequestLine, fields: Fields) -> None:
        """The rules that need request line and fields together."""
        if line[4] != "0":
            if not fields.has_host:
                raise ProtocolError(400, "an HTTP/1.1 request without Host (RFC 9112, 3.2)")
            if fields.other_expectation:
                raise ProtocolError(417, "an expectation other than 100-continue (RFC 9110, 10.1.1)")
        elif fields.chunked:
            raise ProtocolError(400, "Transfer-Encoding in an HTTP/1.0 request (RFC 9112, 6.1)")
        if line[0] == "TRACE" and (fields.length or fields.chunked):
            raise ProtocolError(400, "a TRACE request has no content (RFC 9110, 9.3.8)")
        if fields.length > self.limits.body:
            raise ProtocolError(413, f"the body is longer than {self.limits.body} bytes")
        self._head_asked = line[0] == "HEAD"
        self._left = fields.length
        self._chunks = ChunkedBody(self.limits) if fields.chunked else None

    # -- bodies

    @property
    def body_done(self) -> bool:
        """Whether the body of the last request has been taken out (or there was none)."""
        return not self._left and self._chunks is None

    @property
    def body_left(self) -> int | None:
        """Bytes of the body not taken out yet; None = chunked, nobody knows."""
        return None if self._chunks is not None else self._left

    @property
    def body_whole(self) -> bool:
        """Whether all of a body of known length waits in memory."""
        return 0 < self._left <= len(self._data)

    def take_body(self) -> bytes:
        """The rest of a body that is whole, not copied when nothing stands behind it."""
        data, left = self._data, self._left
        self._data, self._left = data[left:], 0
        return data if len(data) == left else data[:left]

    @property
    def body_arrived(self) -> int:
        """Bytes of the body (or after it) that wait in memory."""
        return len(self._data)

    def read_body(self, most: int) -> bytes | None:
        """At most `most` bytes of the body that have arrived; b"" = its end; None = more bytes are needed.

        Raises ProtocolError, also when the client ended before the body did.
        """
        if self._error is not None:
            raise self._error
        if self._chunks is not None:
            try:
                piece = self._read_chunks(self._chunks, most)
            except ProtocolError as error:
                raise self._keep(error) from None
        elif not self._left:
            return b""
        else:
            piece = self._data[: min(self._left, most)]
            self._data = self._data[len(piece) :]
            self._left -= len(piece)
        if piece or self.body_done:
            return piece
        if self.eof:
            raise self.refuse(400, "the connection ended inside a request body (RFC 9112, 8)")
        return None

    def _read_chunks(self, chunks: ChunkedBody, most: int) -> bytes:
        pieces, used = chunks.decode(self._data, most)
        self._data = self._data[used:]
        if chunks.done:
            self._chunks = None
        return b"".join(pieces)

    def took(self, count: int) -> None:
        """`count` bytes of a body of known length went from the socket into the reader's own memory."""
        self._left -= count

    def skip_body(self) -> bool:
        """Throws away what has arrived of the body; whether that was all of it. Raises ProtocolError."""
        while not self.body_done:
            if self.read_body(1 << 20) is None:
                return False
        return True
