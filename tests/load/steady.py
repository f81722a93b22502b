"""A steady rate from many clients for as long as wanted: what fails, when, and on which connection.

Every client sends at most one request at a time, the next one `--period` seconds after the last began, or
when that ended if it took longer. Every other client keeps its connection. Nothing is ever retried; failed is
what `closed_loop` calls so.

Standard input: a number is the service time in milliseconds asked of the application from now on (`?ms=…`);
the end of the input ends the run. Standard output: one JSON line for each failure at once, one a second of
what was done, and a summary as the last.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from closed_loop import ShortResponse, percentile, read_response


@dataclass
class Run:
    """What the clients share."""

    host: str
    port: int
    period: float
    patience: float
    milliseconds: int
    ended: bool = False
    requests: int = 0
    connections: int = 0
    failed: int = 0
    latencies: list[float] = field(default_factory=list)

    def fail(self, kind: str, detail: object, **more: Any) -> None:
        self.failed += 1
        say(failure=kind, at=time.time(), detail=str(detail), ms=self.milliseconds, **more)


@dataclass
class Connection:
    """One client's connection, and what is worth knowing when it fails."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    answers: int = 0
    pod: str = ""
    """Who answered last."""
    idle_since: float = 0.0


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


async def client(run: Run, keep_alive: bool) -> None:
    await asyncio.sleep(random.uniform(0, run.period))
    connection: Connection | None = None
    due = time.monotonic()
    while not run.ended:
        due = max(due + run.period, time.monotonic())
        connection = await exchange(run, connection, keep_alive)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    if connection is not None:
        connection.writer.close()


async def exchange(run: Run, connection: Connection | None, keep_alive: bool) -> Connection | None:
    """One request; return the connection if it stays open."""
    began = time.monotonic()
    used, stays = connection, False
    try:
        async with asyncio.timeout(run.patience):
            if used is None:
                used = Connection(*await asyncio.open_connection(run.host, run.port))
                run.connections += 1
            used.writer.write(request(run, keep_alive))
            status, stays, used.pod = await read_response(used.reader)
        used.answers += 1
        used.idle_since = time.monotonic()
        if status >= 500:
            run.fail(f"status {status}", "", pod=used.pod)
    except TimeoutError:
        run.fail("timed out", f"after {run.patience} s", **about(used, began))
    except ConnectionRefusedError as error:
        run.fail("refused", error)
    except ShortResponse as error:
        run.fail("short", error, **about(used, began))
    except OSError as error:
        run.fail("reset", error, **about(used, began))
    run.requests += 1
    run.latencies.append(time.monotonic() - began)
    if used is not None and not (stays and keep_alive):
        used.writer.close()
        return None
    return used


def about(used: Connection | None, began: float) -> dict[str, Any]:
    """Where and after what it failed."""
    took = round(time.monotonic() - began, 3)
    if used is None:
        return {"took": took, "connected": False}
    return {
        "took": took,
        "answers": used.answers,
        "pod": used.pod,
        "idle_before": round(began - used.idle_since, 3) if used.answers else None,
        "from": used.writer.get_extra_info("sockname"),
    }


def request(run: Run, keep_alive: bool) -> bytes:
    close = "" if keep_alive else "Connection: close\r\n"
    return f"GET /?ms={run.milliseconds} HTTP/1.1\r\nHost: {run.host}\r\n{close}\r\n".encode()


async def obey(run: Run) -> None:
    """Follow standard input to its end."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        run.milliseconds = int(line)


async def report(run: Run) -> None:
    """A line a second, for ever."""
    while True:
        before, seen = run.requests, len(run.latencies)
        await asyncio.sleep(1)
        second = run.latencies[seen:]
        say(
            second=time.time(),
            requests=run.requests - before,
            p50_ms=percentile(second, 0.5),
            p95_ms=percentile(second, 0.95),
            failed=run.failed,
        )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=150)
    parser.add_argument("--period", type=float, default=0.4, help="seconds between a client's requests")
    parser.add_argument("--timeout", type=float, default=30.0)
    parser.add_argument("--milliseconds", type=int, default=20)
    options = parser.parse_args()
    parts = urlsplit(options.url)
    run = Run(
        parts.hostname or "127.0.0.1",
        parts.port or 80,
        options.period,
        options.timeout,
        options.milliseconds,
    )
    clients = [asyncio.create_task(client(run, bool(number % 2))) for number in range(options.clients)]
    reporter = asyncio.create_task(report(run))
    await obey(run)
    run.ended = True
    await asyncio.gather(*clients)
    reporter.cancel()
    say(
        summary=True,
        requests=run.requests,
        connections=run.connections,
        failed=run.failed,
        p50_ms=percentile(run.latencies, 0.5),
        p95_ms=percentile(run.latencies, 0.95),
        p99_ms=percentile(run.latencies, 0.99),
    )


if __name__ == "__main__":
    asyncio.run(main())
