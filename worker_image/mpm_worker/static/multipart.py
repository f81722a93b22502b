"""Several ranges in one answer: multipart/byteranges (RFC 9110, 14.6; RFC 2046, 5.1)."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator, Sequence

    from mpm_worker.static.ranges import Range

_BLOCK: Final = 65536


class Multipart:
    """The content as blocks; `length` is that of all of it in bytes. Closes `file` with itself."""

    def __init__(self, file: io.FileIO, size: int, ranges: Sequence[Range], media_type: str) -> None:
        boundary = secrets.token_hex(12)  # not guessable: no file can hold it on purpose
        self.media_type = f"multipart/byteranges; boundary={boundary}"
        self._file = file
        self._parts = [
            (
                f"\r\n--{boundary}\r\nContent-Type: {media_type}\r\n"
                f"Content-Range: {each.content_range(size)}\r\n\r\n".encode("latin-1"),
                each,
            )
            for each in ranges
        ]
        self._end = f"\r\n--{boundary}--\r\n".encode("latin-1")
        self.length = len(self._end) + sum(len(head) + end - first for head, (first, end) in self._parts)

    def __iter__(self) -> Iterator[bytes]:
        for head, (first, end) in self._parts:
            yield head
            while first < end:
                block = os.pread(self._file.fileno(), min(_BLOCK, end - first), first)
                if not block:
                    return  # the file was cut: the client sees that content is missing
                yield block
                first += len(block)
        yield self._end

    def close(self) -> None:
        self._file.close()
