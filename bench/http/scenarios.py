"""What is measured: each scenario starts a server, looks at it, and gives rows of figures."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from measure import ONE_HEADER, TWELVE_HEADERS, IdleClients, Seen, Wrk, pss_mib, starved, wrk
from servers import FAST, PROCESSES, Job, Peer, Running, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

THREADED = (*FAST, "gunicorn", "waitress", "cheroot")
ALL = (*THREADED, "bjoern", "fastwsgi", "uvicorn", "nginx")

Figures = dict[str, float]
Row = tuple[str, Figures]
"""The case inside its scenario (e.g. "c=32") and its figures by name."""


@dataclass(frozen=True)
class Bench:
    """How to run: the Python of the peers, a scratch folder, seconds of one run of wrk."""

    python: Path
    folder: Path
    seconds: int


@dataclass(frozen=True)
class Scenario:
    """`run` measures one running server; `peers` are those that it makes sense for, ours aside.

    `rounds` multiplies the number asked for.
    """

    name: str
    title: str
    peers: tuple[str, ...]
    run: Callable[[Bench, Running], Iterator[Row]]
    module: str = "plain"
    logs: bool = False
    options: tuple[str, ...] = ()
    """Of our worker."""
    rivals: tuple[str, ...] = ()
    """Peers that a goal names, beyond the strongest threaded ones."""
    rounds: int = 1
    processes: int = PROCESSES

    def measure(self, bench: Bench, peer: Peer) -> list[Row]:
        """Start, measure, stop."""
        log = bench.folder / f"{peer.name}.log"
        own = self.options if peer.name.startswith("mpm-worker") else ()
        job = Job(free_port(), bench.folder, self.module, str(log) if self.logs else "", own, self.processes)
        server = Running(peer, bench.python, job)
        try:
            return list(self.run(bench, server))
        finally:
            server.stop()
            log.unlink(missing_ok=True)


def _figures(seen: Seen) -> Figures:
    return {"cpu_us": seen.cpu_us, "rps": seen.rps, "p50": seen.p50, "p99": seen.p99, "failed": seen.failed}


def _load(
    path: str,
    connections: tuple[int, ...],
    headers: tuple[str, ...] = ONE_HEADER,
    post: int = 0,
    vary: int = 0,
) -> Callable[[Bench, Running], Iterator[Row]]:
    def run(bench: Bench, server: Running) -> Iterator[Row]:
        wrk(server.process.pid, server.port, path, 32, 1, headers, post, vary)  # caches, learning, threads
        for count in connections:
            seen = wrk(server.process.pid, server.port, path, count, bench.seconds, headers, post, vary)
            yield f"c={count}", _figures(seen)

    return run


def _sleep(bench: Bench, server: Running) -> Iterator[Row]:
    yield from _load("/sleep10", (32, 256))(bench, server)
    yield "256 clients", {"starved": starved(server.port, "/sleep10", 256, 2.0)}


def _beside(slow: str, clients: int) -> Callable[[Bench, Running], Iterator[Row]]:
    """The fast path by 16 connections while others ask for the slow one."""

    def run(bench: Bench, server: Running) -> Iterator[Row]:
        root, port = server.process.pid, server.port
        wrk(root, port, slow, clients, 1)
        wrk(root, port, "/", 16, 1)
        other = Wrk(root, port, slow, clients, bench.seconds + 1)
        time.sleep(0.5)
        fast = wrk(root, port, "/", 16, bench.seconds)
        yield "fast, c=16", _figures(fast)
        yield f"slow, c={clients}", {k: v for k, v in _figures(other.result()).items() if k != "cpu_us"}

    return run


IDLE = 10_000


def _idle(bench: Bench, server: Running) -> Iterator[Row]:
    root, port = server.process.pid, server.port
    wrk(root, port, "/", 32, 1)
    before = wrk(root, port, "/", 32, bench.seconds)
    memory = pss_mib(root)
    clients = IdleClients(port, IDLE)
    try:
        time.sleep(0.5)
        held = pss_mib(root) - memory
        after = wrk(root, port, "/", 32, bench.seconds)
        yield (
            "10,000 idle",
            {
                "kib": held * 1024 / IDLE,
                "alive": clients.alive(),
                "p99 before": before.p99,
                "p99": after.p99,
                "failed": after.failed,
            },
        )
    finally:
        clients.close()


def _start(bench: Bench, server: Running) -> Iterator[Row]:
    time.sleep(0.3)
    started = pss_mib(server.process.pid)
    wrk(server.process.pid, server.port, "/", 32, 1)
    yield (
        "2×16",
        {
            "start_ms": server.start_seconds * 1e3,
            "pss": started,
            "pss_served": pss_mib(server.process.pid),
        },
    )


_PREFORK = ("--mpm", "prefork")
_KEEP = ("--keep-alive-timeout", "600")

SCENARIOS = (
    Scenario("hello", "Hello, one header", ALL, _load("/", (32, 256))),
    Scenario("hello12", "Hello, 12 headers", ALL, _load("/", (32, 256), TWELVE_HEADERS)),
    Scenario(
        "hello-varied",
        "Hello, 12 headers, 64 requests in turn",
        FAST,
        _load("/", (32,), TWELVE_HEADERS, vary=64),
    ),
    Scenario("hello-c1", "Hello, one client", FAST, _load("/", (1,)), rounds=3),
    Scenario(
        "logged",
        "Hello, 12 headers, access log on",
        ("granian", "uWSGI", "gunicorn"),
        _load("/", (1, 32, 256), TWELVE_HEADERS),
        logs=True,
    ),
    Scenario(
        "prefork",
        "Hello, prefork (8 processes of each)",
        ("bjoern", "fastwsgi"),
        _load("/", (8,)),
        options=_PREFORK,
        processes=8,
        rivals=("bjoern", "fastwsgi"),
    ),
    Scenario("sleep", "Blocking app, 10 ms", (*THREADED, "bjoern"), _sleep),
    Scenario("beside-sleep", "Fast path beside a 50 ms path", THREADED, _beside("/sleep50", 8)),
    Scenario("beside-cpu", "Fast path beside a 5 ms CPU path", THREADED, _beside("/spin5", 2)),
    Scenario(
        "flask", "Flask, small JSON", (*THREADED, "bjoern", "fastwsgi"), _load("/json/7", (32,)), "flask_json"
    ),
    Scenario("file", "1 MiB file", (*THREADED, "bjoern", "nginx"), _load("/file", (32,)), rivals=("nginx",)),
    Scenario(
        "echo",
        "100 KiB POST, echoed",
        (*THREADED, "bjoern", "fastwsgi"),
        _load("/echo", (32,), post=102400),
    ),
    Scenario("idle", "10,000 idle connections", ("granian", "bjoern"), _idle, options=_KEEP),
    Scenario("start", "Start and memory", (*THREADED, "bjoern", "fastwsgi", "nginx"), _start),
)
