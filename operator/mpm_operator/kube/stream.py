"""One endless NDJSON answer, line by line, at the least cost: a fleet sends twenty thousand lines a second.

A general HTTP client spends twice of all that a line costs, on readers, timers and the wake-up of a task for
each (measured by `bench/fleet.py`). What a stream needs is small: one GET, a head, chunks (RFC 9112, 7.1).
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

CONNECT_SECONDS = 2.0
HEAD_MOST_BYTES = 16 * 1024
LINE_MOST_BYTES = 64 * 1024


class BadStream(ValueError):
    """What came is no stream of lines; the text says why."""


@asynccontextmanager
async def open_stream(
    host: str, port: int, path: str, silence: float, take: Callable[[bytes], None]
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Open `GET path`: once its head is read, hand every line to `take`. Await what is yielded for the end.

    Raises, as that does, OSError (TimeoutError after `silence` seconds without a byte), BadStream, and what
    `take` raises.
    """
    loop = asyncio.get_running_loop()
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    async with asyncio.timeout(CONNECT_SECONDS):
        _, lines = await loop.create_connection(lambda: _Lines(name, path, take), host, port)

    async def passed(moment: asyncio.Future[None]) -> None:
        while not moment.done():
            heard = lines.heard
            await asyncio.wait([moment], timeout=silence)
            if lines.heard == heard and not moment.done():
                raise TimeoutError(f"nothing heard for {silence:g} s")
        moment.result()

    try:
        await passed(lines.begun)
        yield lambda: passed(lines.over)
    finally:
        lines.transport.abort()
        for moment in (lines.begun, lines.over):
            if moment.done():
                moment.exception()  # told already; asyncio would tell again that nobody asked


class _Lines(asyncio.Protocol):
    """The receiving end of one stream."""

    def __init__(self, host: str, path: str, take: Callable[[bytes], None]) -> None:
        self._request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/x-ndjson\r\n\r\n"
        self._take = take
        self._raw = b""
        """Not decoded yet."""
        self._text = b""
        """The beginning of a line."""
        self.heard = 0
        """How often something came."""
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request.encode())

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error)

    def data_received(self, data: bytes) -> None:
        if self.over.done():
            return
        self.heard += 1
        self._raw = self._raw + data if self._raw else data
        try:
            if (self.begun.done() or self._head()) and not self._chunks():
                self._end(None)
        except Exception as error:
            # Of `take`, too: whoever waits for the stream shall see it, the event loop could only log it.
            self._end(error)

    def _end(self, error: Exception | None) -> None:
        for moment in (self.begun, self.over):
            if moment.done():
                continue
            if error is None:
                moment.set_result(None)
            else:
                moment.set_exception(error)
        self.transport.abort()

    def _head(self) -> bool:
        """Read the head; return whether it is whole."""
        head, end, rest = self._raw.partition(b"\r\n\r\n")
        if not end:
            if len(head) > HEAD_MOST_BYTES:
                raise BadStream(f"the head is longer than {HEAD_MOST_BYTES} bytes")
            return False
        status, *fields = head.decode("latin-1").split("\r\n")
        version, _, said = status.partition(" ")
        if not version.startswith("HTTP/1.") or not said.startswith("200"):
            raise BadStream(f"expected HTTP status 200, got `{status[:100]}`")
        if not any(_is_chunked(field) for field in fields):
            raise BadStream("expected a chunked answer")
        self._raw = rest
        self.begun.set_result(None)
        return True

    def _chunks(self) -> bool:
        """Take all chunks that are whole; return False after the last one."""
        raw, start = self._raw, 0
        while (line_end := raw.find(b"\r\n", start)) >= 0:
            size = _size(raw[start:line_end])
            if size == 0:
                return False
            end = line_end + 2 + size
            if len(raw) < end + 2:
                break
            if raw[end : end + 2] != b"\r\n":
                raise BadStream("a chunk is longer than it says")
            self._lines(raw[line_end + 2 : end])
            start = end + 2
        else:
            if len(raw) - start > HEAD_MOST_BYTES:
                raise BadStream("a chunk has no size")
        self._raw = raw[start:]
        return True

    def _lines(self, text: bytes) -> None:
        if self._text:
            text = self._text + text
        *whole, self._text = text.split(b"\n")
        for line in whole:
            self._take(line)
        if len(self._text) > LINE_MOST_BYTES:
            raise BadStream(f"a line is longer than {LINE_MOST_BYTES} bytes")


def _is_chunked(field: str) -> bool:
    name, _, value = field.partition(":")
    return name.lower() == "transfer-encoding" and value.strip().lower() == "chunked"


def _size(text: bytes) -> int:
    digits = text.partition(b";")[0].strip()
    try:
        size = int(digits, 16) if digits.isalnum() else -1
    except ValueError:
        size = -1
    if not 0 <= size <= LINE_MOST_BYTES:
        raise BadStream(f"expected the size of a chunk, 0 to {LINE_MOST_BYTES:x}, got `{text[:20]!r}`")
    return size
