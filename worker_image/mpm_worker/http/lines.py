"""The line-by-line reading of a head: while it is still coming, and to name the fault of one that is wrong.

The hot path reads a whole head at once. This one goes through it in the order of its bytes, so that a head in
many pieces is refused for the same reason as one in a single piece, and as early as possible.
"""

from __future__ import annotations

import re

from mpm_worker.http.errors import Limits, ProtocolError
from mpm_worker.http.target import TOKEN, parse_request_line

_NOT_IN_REQUEST_LINE = re.compile(rb"[^ -~]").search
_NOT_IN_FIELD = re.compile(rb"[^\t -~\x80-\xff]").search
_NAME = re.compile(TOKEN.encode()).fullmatch


class HeadLines:
    """Goes on where it stopped: each byte of a head is looked at once, however it is cut."""

    __slots__ = ("_at", "_fields_at", "_limits", "_lines", "_seen")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._at = 0
        self._seen = 0  # up to here the bytes are known to be legal
        self._lines = 0
        self._fields_at = 0

    def advance(self, data: bytes) -> None:
        """Checks `data`, a head from its first byte on; raises ProtocolError at the first fault."""
        while True:
            end = data.find(b"\r\n", max(self._at, self._seen))
            whole = end >= 0
            line = data[self._at : end] if whole else data[self._at :].removesuffix(b"\r")
            if self._lines == 0:
                self._request_line(line, whole)
            else:
                self._field(line, whole)
            if not whole or (self._lines and not line):
                self._seen = self._at + len(line)
                return
            self._lines += 1
            self._at = end + 2
            if self._lines == 1:
                self._fields_at = self._at

    def _request_line(self, line: bytes, whole: bool) -> None:
        most = self._limits.request_line
        if bad := _NOT_IN_REQUEST_LINE(line, self._seen, most):
            raise _illegal(bad[0], "the request line")
        if len(line) > most:
            if b" " not in line[:most]:
                raise ProtocolError(400, f"no target in {most} bytes of request line (RFC 9112, 3)")
            raise ProtocolError(414, f"the request line is longer than {most} bytes")
        if whole:
            parse_request_line(line.decode("latin-1"))

    def _field(self, line: bytes, whole: bool) -> None:
        if line[:1] in (b" ", b"\t"):
            raise ProtocolError(
                400, "a field line begins with white space: folding is obsolete (RFC 9112, 5.2)"
            )
        room = self._limits.header_bytes - (self._at - self._fields_at)
        if bad := _NOT_IN_FIELD(line, max(0, self._seen - self._at), max(room, 0)):
            raise _illegal(bad[0], "a field line")
        if line and len(line) > room:
            raise ProtocolError(431, f"the fields are longer than {self._limits.header_bytes} bytes")
        if not whole or not line:
            return
        name, colon, _ = line.partition(b":")
        if not colon:
            raise ProtocolError(400, "a field line has no colon (RFC 9112, 5)")
        if name.endswith((b" ", b"\t")):
            raise ProtocolError(400, "white space between field name and colon (RFC 9112, 5.1)")
        if not _NAME(name):
            raise ProtocolError(400, "a field name is not a token (RFC 9110, 5.1)")
        if self._lines > self._limits.header_count:
            raise ProtocolError(431, f"more than {self._limits.header_count} fields")


def _illegal(byte: bytes, where: str) -> ProtocolError:
    if byte == b"\n":
        return ProtocolError(400, f"a line feed without carriage return in {where} (RFC 9112, 2.2)")
    if byte == b"\r":
        return ProtocolError(400, f"a carriage return without line feed in {where} (RFC 9112, 2.2)")
    return ProtocolError(400, f"byte 0x{byte.hex()} in {where} (RFC 9110, 5.5; RFC 9112, 3)")
