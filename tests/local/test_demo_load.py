"""The demo load counts every failure, keeps its clients in number, and ends."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from mpm_operator.local import load
from mpm_operator.local.load import STEPS, Clients

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def answering(answer: bytes, *, close: bool = False) -> AsyncIterator[str]:
    """A server that gives `answer` to every request."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer)
                await writer.drain()
                if close:
                    break
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def visit(url: str, clients: int = 4) -> Clients:
    visitors = Clients(url)
    visitors.resize(clients)
    async with asyncio.timeout(60):
        while visitors.requests + visitors.failures.total() <= clients:  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0.02)
    await visitors.finish()
    return visitors


async def test_good_answers_are_requests_and_no_failures() -> None:
    async with answering(GOOD) as url:
        visitors = await visit(url)
    assert visitors.requests > 4
    assert not visitors.failures


async def test_a_server_that_closes_as_it_said_is_no_failure() -> None:
    async with answering(GOOD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), close=True) as url:
        visitors = await visit(url)
    assert visitors.requests > 4
    assert not visitors.failures


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (GOOD.replace(b"200 OK", b"503 Service Unavailable"), "503"),
        (GOOD.replace(b"Length: 2", b"Length: 9"), "IncompleteReadError"),
        (b"", "IncompleteReadError"),
        (b"nonsense\r\n\r\n", "KeyError"),
    ],
    ids=["5xx", "short", "closed", "no HTTP"],
)
async def test_anything_else_is_a_failure(answer: bytes, why: str) -> None:
    async with answering(answer, close=True) as url:
        visitors = await visit(url)
    assert visitors.requests == 0
    assert any(re.search(why, text) for text in visitors.failures)


async def test_nobody_there_is_a_failure() -> None:
    async with answering(GOOD) as url:
        pass
    assert (await visit(url)).failures.total() >= 4


async def test_clients_come_and_go() -> None:
    async with answering(GOOD) as url:
        visitors = Clients(url)
        for wanted in (3, 1, 5, 0):
            visitors.resize(wanted)
            assert visitors.clients == wanted
        await visitors.finish()


async def test_it_plays_its_steps_and_ends(monkeypatch, capsys) -> None:
    monkeypatch.setattr(load, "STEPS", ((1, 2), (1, 1)))
    async with answering(GOOD) as url:
        await load.run(url)
    lines = capsys.readouterr().out.splitlines()
    assert [re.search(r'"clients": (\d+)', line)[1] for line in lines] == ["2", "1", "0"]


def test_it_is_bounded_and_steps_up_and_down() -> None:
    clients = [number for _, number in STEPS]
    assert sum(seconds for seconds, _ in STEPS) <= 180
    assert clients != sorted(clients)
    assert max(clients) <= 64
