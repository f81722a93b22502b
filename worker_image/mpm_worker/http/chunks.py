"""The chunked coding of a request body (RFC 9112, 7.1)."""

from __future__ import annotations

import re
from typing import Final

from mpm_worker.http.errors import LENGTH_MOST, Limits, ProtocolError
from mpm_worker.http.target import TOKEN

_QUOTED = r'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_EXTENSION = rf"[ \t]*;[ \t]*{TOKEN}(?:[ \t]*=[ \t]*(?:{TOKEN}|{_QUOTED}))?"
_SIZE = re.compile(rf"([0-9A-Fa-f]+)(?:{_EXTENSION})*".encode("latin-1")).fullmatch
_NOT_IN_SIZE = re.compile(rb"[^\t -~\x80-\xff]").search
_TRAILER = re.compile(rf"{TOKEN}:[\t -~\x80-\xff]*".encode("latin-1")).fullmatch

_LINE_MOST: Final = 4096
# What framing may cost beyond 16 bytes and twice the data of each chunk: extensions are no free flood.
_EXCESS_MOST: Final = 16384

_SIZE_LINE, _DATA, _DATA_END, _TRAILERS, _DONE = range(5)


class ChunkedBody:
    """Takes the coded bytes off the front of a buffer.

    Extensions and trailer fields are checked and forgotten: a trailer must never change what the head said.
    """

    __slots__ = ("_excess", "_left", "_limits", "_state", "_total", "_trailer_bytes", "_trailer_count")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._state = _SIZE_LINE
        self._left = 0
        self._total = 0
        self._excess = 0
        self._trailer_bytes = 0
        self._trailer_count = 0

    @property
    def done(self) -> bool:
        return self._state == _DONE

    def decode(self, data: bytes, most: int) -> tuple[list[bytes], int]:
        """Decoded pieces of together at most `most` bytes, and how many bytes of `data` they took."""
        pieces: list[bytes] = []
        at = 0
        while self._state != _DONE:
            if self._state == _DATA:
                if at >= len(data) or most <= 0:
                    break
                piece = data[at : at + min(self._left, most)]
                pieces.append(piece)
                at += len(piece)
                most -= len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._state = _DATA_END
            elif self._state == _DATA_END:
                ending = data[at : at + 2]
                if not b"\r\n".startswith(ending):
                    raise ProtocolError(400, "chunk data do not end with CRLF (RFC 9112, 7.1)")
                if len(ending) < 2:
                    break
                at += 2
                self._state = _SIZE_LINE
            else:
                end = self._line_end(data, at)
                if end < 0:
                    break
                line = data[at:end]
                at = end + 2
                if self._state == _SIZE_LINE:
                    self._size_line(line)
                else:
                    self._trailer_line(line)
        return pieces, at

    def _line_end(self, data: bytes, at: int) -> int:
        """Offset of the CRLF that ends the line at `at`, -1 = not there yet; control bytes fail at once."""
        end = data.find(b"\r\n", at, at + _LINE_MOST + 2)
        line = data[at:end] if end >= 0 else data[at : at + _LINE_MOST + 1].removesuffix(b"\r")
        if bad := _NOT_IN_SIZE(line):
            where = "a chunk-size line" if self._state == _SIZE_LINE else "a trailer field"
            raise ProtocolError(400, f"byte 0x{bad[0].hex()} in {where} (RFC 9112, 7.1)")
        if len(line) > _LINE_MOST:
            raise ProtocolError(400, f"a line of the chunked coding is longer than {_LINE_MOST} bytes")
        return end

    def _size_line(self, line: bytes) -> None:
        match = _SIZE(line)
        if match is None:
            raise ProtocolError(400, "a chunk-size line breaks the grammar (RFC 9112, 7.1)")
        digits = match[1].lstrip(b"0")
        if len(digits) > 16 or (size := int(digits or b"0", 16)) > LENGTH_MOST:
            raise ProtocolError(400, "a chunk-size has more than 63 bits (RFC 9112, 7.1)")
        self._total += size
        if self._total > self._limits.body:
            raise ProtocolError(413, f"the body is longer than {self._limits.body} bytes")
        self._excess = max(0, self._excess + len(line) - 16 - 2 * size)
        if self._excess > _EXCESS_MOST:
            raise ProtocolError(400, "chunks carry far more framing than data")
        self._left = size
        self._state = _DATA if size else _TRAILERS

    def _trailer_line(self, line: bytes) -> None:
        if not line:
            self._state = _DONE
            return
        self._trailer_bytes += len(line) + 2
        self._trailer_count += 1
        if self._trailer_bytes > self._limits.header_bytes or self._trailer_count > self._limits.header_count:
            raise ProtocolError(431, "the trailer section is longer than a header section may be")
        if not _TRAILER(line):
            raise ProtocolError(400, "a trailer line is not a field (RFC 9112, 7.1.2)")
