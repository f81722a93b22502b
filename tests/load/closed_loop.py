"""A closed loop of clients against one URL, strict about failures: the load of the tests.

Each client sends a request, waits for the whole response, thinks, sends the next. Nothing is ever retried.
Failed is whatever a user would call failed: refused, reset, short, a status of 500 or more, or timed out.

Runs alone (`python closed_loop.py URL --clients 40 --seconds 60 --keep-alive`), so that it can run in the
cluster's network namespace; prints one JSON line a second and a summary as its last line; TERM ends it early.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit


@dataclass
class Tally:
    """What happened, in all and in the second under way."""

    started: float = field(default_factory=time.monotonic)
    requests: int = 0
    connections: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    first_failures: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def fail(self, kind: str, detail: str) -> None:
        self.failures[kind] = self.failures.get(kind, 0) + 1
        if len(self.first_failures) < 10:
            self.first_failures.append(f"{time.monotonic() - self.started:.3f}s {kind}: {detail}")

    @property
    def failed(self) -> int:
        return sum(self.failures.values())


class ShortResponse(Exception):
    """The connection ended before the response did."""


class Answer(NamedTuple):
    """One whole response."""

    status: int
    stays: bool
    """Whether the connection stays open."""
    pod: str
    """What the field X-Pod says."""


async def read_response(reader: asyncio.StreamReader) -> Answer:
    """Read one whole response."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        raise ShortResponse(f"{len(error.partial)} bytes of a head") from error
    status = int(head[9:12])
    fields = head.lower()
    pod = head[at + 9 : head.index(b"\r\n", at + 9)] if (at := fields.find(b"\r\nx-pod: ")) >= 0 else b""
    start = fields.find(b"\r\ncontent-length:")
    if start < 0:
        await reader.read()
        return Answer(status, False, pod.decode())
    length = int(fields[start + 17 : fields.index(b"\r\n", start + 2)])
    try:
        await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise ShortResponse(f"{len(error.partial)} of {length} bytes of a body") from error
    stays = head.startswith(b"HTTP/1.1") and b"\r\nconnection: close" not in fields
    return Answer(status, stays, pod.decode())


async def client(
    url: str, tally: Tally, stop: asyncio.Event, keep_alive: bool, think: float, patience: float
) -> None:
    """One client: at most one request under way, each on a kept or on a new connection."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    close = b"" if keep_alive else b"Connection: close\r\n"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = b"GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (target.encode(), host.encode(), close)
    writer: asyncio.StreamWriter | None = None
    while not stop.is_set():
        began = time.monotonic()
        stays = False
        try:
            async with asyncio.timeout(patience):
                if writer is None:
                    reader, writer = await asyncio.open_connection(host, port)
                    tally.connections += 1
                writer.write(request)
                status, stays, _ = await read_response(reader)
            if status >= 500:
                tally.fail(f"status {status}", "")
        except TimeoutError:
            tally.fail("timed out", f"after {patience} s")
        except ConnectionRefusedError as error:
            tally.fail("refused", str(error))
        except ShortResponse as error:
            tally.fail("short", str(error))
        except OSError as error:
            tally.fail("reset", str(error))
        tally.requests += 1
        tally.latencies.append(time.monotonic() - began)
        if writer is not None and not (stays and keep_alive):
            writer.close()
            writer = None
        if think:
            await asyncio.sleep(think)
    if writer is not None:
        writer.close()


def percentile(values: list[float], q: float) -> float:
    """Return the q-quantile in milliseconds; 0 when there is no value."""
    return round(sorted(values)[min(len(values) - 1, int(q * len(values)))] * 1000, 1) if values else 0.0


async def run(options: argparse.Namespace) -> Tally:
    tally = Tally()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    clients = [
        asyncio.create_task(
            client(options.url, tally, stop, options.keep_alive, options.think, options.timeout)
        )
        for _ in range(options.clients)
    ]
    end = time.monotonic() + options.seconds
    seen = 0
    while time.monotonic() < end and not stop.is_set():
        await asyncio.sleep(1)
        second = tally.latencies[seen:]
        seen = len(tally.latencies)
        line = {
            "second": round(time.monotonic() - tally.started, 2),
            "at": time.time(),
            "requests": len(second),
            "p50_ms": percentile(second, 0.5),
            "p95_ms": percentile(second, 0.95),
            "failed": tally.failed,
        }
        print(json.dumps(line), flush=True)
    stop.set()
    await asyncio.gather(*clients)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--keep-alive", action="store_true")
    parser.add_argument(
        "--think", type=float, default=0.0, help="seconds between a response and the next request"
    )
    parser.add_argument("--timeout", type=float, default=30.0)
    options = parser.parse_args()
    tally = asyncio.run(run(options))
    print(
        json.dumps(
            {
                "summary": True,
                "requests": tally.requests,
                "connections": tally.connections,
                "failed": tally.failed,
                "failures": tally.failures,
                "first_failures": tally.first_failures,
                "p50_ms": percentile(tally.latencies, 0.5),
                "p95_ms": percentile(tally.latencies, 0.95),
                "p99_ms": percentile(tally.latencies, 0.99),
            }
        ),
        flush=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
