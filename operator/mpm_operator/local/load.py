"""A bounded load for `--demo-load`: clients that come, ask one request after the other, and go.

Run as a script with the URL: a process of its own, so that the clients do not slow the parent's decisions. It
writes one JSON line a second: {"clients", "requests", "failures", "why"}.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from urllib.parse import urlsplit

STEPS = ((10, 2), (40, 20), (25, 6), (25, 14), (40, 1))
"""(seconds, clients): up, down, up, down; then the load ends."""

_TIMEOUT_SECONDS = 30.0


class Clients:
    """A closed loop: each client has one request at a time, every second one keeps its connection alive."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port, self.path = parts.hostname or "", parts.port or 80, parts.path or "/"
        self.requests = 0
        self.failures: Counter[str] = Counter()
        self._leave: list[asyncio.Event] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def clients(self) -> int:
        return len(self._leave)

    def resize(self, wanted: int) -> None:
        """Let clients come or go; who goes finishes its request first."""
        while len(self._leave) < wanted:
            leave = asyncio.Event()
            task = asyncio.create_task(self._client(leave, keep_alive=len(self._leave) % 2 == 0))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self._leave.append(leave)
        while len(self._leave) > wanted:
            self._leave.pop().set()

    async def finish(self) -> None:
        self.resize(0)
        await asyncio.gather(*self._tasks)

    async def _client(self, leave: asyncio.Event, keep_alive: bool) -> None:
        while not leave.is_set():
            try:
                await self._visit(leave, keep_alive)
            except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError, KeyError) as error:
                self.failures[f"{type(error).__name__}: {error}"[:100]] += 1
                await asyncio.sleep(0.1)

    async def _visit(self, leave: asyncio.Event, keep_alive: bool) -> None:
        """One connection and its requests, until the server or we want no more of it."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        request = (
            f"GET {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Connection: {'keep-alive' if keep_alive else 'close'}\r\n\r\n"
        ).encode()
        try:
            closes = False
            while not closes and not leave.is_set():
                async with asyncio.timeout(_TIMEOUT_SECONDS):
                    writer.write(request)
                    closes = await _read_answer(reader) or not keep_alive
                self.requests += 1
        finally:
            writer.close()


async def _read_answer(reader: asyncio.StreamReader) -> bool:
    """Read one response; whether the server will close. Raises ValueError for anything but a whole 200."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status, *lines = head.rstrip().split("\r\n")
    fields = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    await reader.readexactly(int(fields["content-length"]))
    if status.split(" ")[1] != "200":
        raise ValueError(status)
    return fields.get("connection") == "close"


async def run(url: str) -> None:
    """Play STEPS against `url`."""
    clients = Clients(url)
    for seconds, wanted in STEPS:
        clients.resize(wanted)
        for _ in range(seconds):
            await asyncio.sleep(1)
            _say(clients)
    await clients.finish()
    _say(clients)


def _say(clients: Clients) -> None:
    failures = sum(clients.failures.values())
    why = "; ".join(f"{number} × {text}" for text, number in clients.failures.most_common(3))
    line = {"clients": clients.clients, "requests": clients.requests, "failures": failures, "why": why}
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
