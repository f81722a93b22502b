"""The reader of scoreboard streams, against sockets that send what a test says."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from mpm_operator.kube.stream import LINE_MOST_BYTES, BadStream, open_stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(payload: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(payload), payload)


@asynccontextmanager
async def sender(*pieces: bytes, stay: bool = False) -> AsyncIterator[int]:
    """A server that sends the pieces, one write each, and then hangs up, or stays silent."""
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if stay:
            await over.wait()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        over.set()


async def read(port: int, silence: float = 60.0) -> list[bytes]:
    lines: list[bytes] = []
    async with open_stream("127.0.0.1", port, "/scoreboard?watch", silence, lines.append) as ended:
        await ended()
    return lines


def split(data: bytes, size: int) -> Sequence[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
async def test_lines_are_whole_however_the_bytes_come(size: int) -> None:
    data = HEAD + chunk(b'{"a":1}\n') + chunk(b'{"b"') + chunk(b':2}\n{"c":3}\n') + chunk(b"")
    async with sender(*split(data, size)) as port:
        assert await read(port) == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


async def test_a_connection_that_ends_is_the_end() -> None:
    async with sender(HEAD + chunk(b"one\n") + b"4\r\ntw") as port:
        assert await read(port) == [b"one"]


async def test_an_answer_that_is_no_stream_is_named() -> None:
    async with sender(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n") as port:
        with pytest.raises(BadStream, match="503 Service Unavailable"):
            await read(port)


@pytest.mark.parametrize(
    "bad", [b"zz\r\nab\r\n", b"-1\r\n", b"2\r\nabc\r\n", b"%x\r\n" % (LINE_MOST_BYTES + 1)]
)
async def test_chunks_that_are_none_end_the_stream(bad: bytes) -> None:
    async with sender(HEAD + bad, stay=True) as port:
        with pytest.raises(BadStream):
            await read(port)


async def test_a_line_without_end_is_refused() -> None:
    pieces = [chunk(b"x" * 60_000)] * 2
    async with sender(HEAD, *pieces, stay=True) as port:
        with pytest.raises(BadStream, match="longer"):
            await read(port)


@pytest.mark.parametrize("said", [b"", HEAD, HEAD + chunk(b"one\n")])
async def test_silence_is_an_error(said: bytes) -> None:
    async with sender(said, stay=True) as port:
        with pytest.raises(TimeoutError):
            await read(port, silence=0.2)


async def test_what_the_taker_raises_comes_up() -> None:
    def take(line: bytes) -> None:
        raise ValueError(f"cannot read {line.decode()}")

    async with sender(HEAD + chunk(b"one\n"), stay=True) as port:
        with pytest.raises(ValueError, match="cannot read one"):
            async with open_stream("127.0.0.1", port, "/", 60.0, take) as ended:
                await ended()


async def test_nobody_there_is_an_error() -> None:
    async with sender() as port:
        pass
    with pytest.raises(OSError, match="Connect call failed"):
        await read(port)
