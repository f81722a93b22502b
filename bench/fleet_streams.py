"""What a scoreboard stream costs the operator: CPU a line and memory, over real sockets.

A process of its own plays the pods: on one port it answers every `GET /scoreboard?watch` with a line a
second, as a worker does, spread over the second. The operator's own reader (`kube/scoreboards.py`) follows
them all.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpm_operator.kube.caches import Caches
from mpm_operator.kube.merged import Merged
from mpm_operator.kube.scoreboards import Scoreboards

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from mpm_operator.kube.resources import Key
    from mpm_operator.scoreboard import Line

PODS_PER_WEBSERVER = 10
TURN_SECONDS = 2.0
"""The best turn of so long counts, for what else the machine does only ever adds."""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
SETTINGS = {
    "threadsPerChild": 25, "processes": 1, "timeoutSeconds": 60, "keepAlive": True,
    "keepAliveTimeoutSeconds": 5, "maxKeepAliveRequests": 100, "limitRequestBodyBytes": 1073741824,
    "maxConnectionsPerChild": 0, "maxRssBytes": -1, "requestTimeoutSeconds": 0,
    "gracefulShutdownTimeoutSeconds": 60, "asyncRequestWorkerFactor": 2,
}  # fmt: skip


def aggregate(boot: str, line: int, busy: int, served: int, ceiling: int = 25) -> bytes:
    """Return a scoreboard line as a worker of 25 slots sends it (docs/contracts.md, section 1)."""
    body = {
        "boot": boot, "pod": "", "line": line, "edge": "", "state": "Serving", "sequence": 1, "keyVersion": 1,
        "mpm": "event", "generation": 0, "servers": 1, "threadsPerChild": 25, "threadsCeiling": ceiling,
        "threadLimit": 64, "settings": SETTINGS,
        "workers": {"busy": busy, "idle": 25 - busy, "total": 25, "queue": 0},
        "backlog": {"depth": 0, "limit": 511, "overflows": 0},
        "connections": {"open": busy, "keepAlive": 0, "reading": 0, "closing": 0},
        "totals": {"accesses": served, "bytes": served * 1200, "connections": served, "busyMs": served * 100,
                   "unauthorized": 0, "cut": 0},
        "cpu": {"ms": served * 2, "userMs": served * 2, "quota": 1.0, "throttledMs": 0},
        "memory": {"rss": 40108032, "limit": 268435456}, "uptimeMs": line * 1000 + 60_000, "letters": "W_24",
    }  # fmt: skip
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


class _Pods(asyncio.Protocol):
    """One connection = one pod."""

    number = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        _Pods.number += 1
        self.transport: Any = transport
        self.boot, self.line = f"{_Pods.number:016x}", 0

    def data_received(self, data: bytes) -> None:
        if self.line == 0:
            self.transport.write(HEAD)
            self.send()

    def send(self) -> None:
        if self.transport.is_closing():
            return
        asyncio.get_running_loop().call_later(1.0, self.send)
        self.line += 1
        body = aggregate(self.boot, self.line, self.line % 20, self.line * 90)
        self.transport.write(b"%x\r\n%s\r\n" % (len(body), body))


def play_pods(tell: Connection) -> None:
    """Serve until the parent ends this process."""

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Pods, "127.0.0.1", 0, backlog=4096)
        tell.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


@dataclass(frozen=True, slots=True)
class Streams:
    """What following `pods` streams took."""

    pods: int
    lines: int
    micros_a_line: float
    """CPU time of the whole process in the best turn: selector, socket, HTTP, parser, tally."""
    cores_at_1_hz: float
    kib_a_stream: float
    late: int
    """Pods without a line for more than 3 s at the end: the planner would call them silent."""


def rss_kib() -> int:
    """Return the resident memory of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise OSError("/proc/self/status has no VmRSS")


def pod(number: int) -> dict[str, Any]:
    """Return as much of a pod as the reader looks at."""
    labels = {"mpm-operator.io/webserver": f"shop-{number // PODS_PER_WEBSERVER}"}
    meta = {"name": f"pod-{number}", "namespace": "fleet", "uid": f"uid-{number}", "labels": labels}
    return {"metadata": meta, "status": {"podIP": "127.0.0.1", "phase": "Running"}}


async def _follow(port: int, pods: int, seconds: float) -> Streams:
    heard = 0

    def hear(key: Key, uid: str, line: Line) -> None:
        nonlocal heard
        heard += 1
        merged.hear(key, uid, line)

    boards = Scoreboards(lambda key: None, lambda: 10.0, port=port, hear=hear)
    merged = Merged(Caches(), boards.line)
    before = rss_kib()
    for number in range(pods):
        boards.follow(pod(number))
        if number % 50 == 0:
            await asyncio.sleep(0.05)
    deadline = time.monotonic() + 120
    while sum(boards.line(f"uid-{n}") is not None for n in range(pods)) < pods:
        if time.monotonic() > deadline:
            raise TimeoutError("not all streams came up within 120 s")
        await asyncio.sleep(0.5)
    await asyncio.sleep(2)
    turns, first = [], heard
    for _ in range(int(seconds / TURN_SECONDS)):
        spent, before_turn = time.process_time(), heard
        await asyncio.sleep(TURN_SECONDS)
        turns.append((time.process_time() - spent) / max(1, heard - before_turn))
    lines = heard - first
    now = time.monotonic()
    reports = [boards.report(f"uid-{number}") for number in range(pods)]
    late = sum(report is None or now - report.at > 3 for report in reports)
    memory = rss_kib() - before
    await boards.close()
    micros = 1e6 * min(turns)
    return Streams(pods, lines, micros, micros * pods / 1e6, memory / pods, late)


def measure(pods: int = 1000, seconds: float = 10.0) -> Streams:
    """Follow so many streams for a while."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=play_pods, args=(theirs,), daemon=True)
    child.start()
    try:
        return asyncio.run(_follow(ours.recv(), pods, seconds))
    finally:
        child.terminate()
        child.join()
