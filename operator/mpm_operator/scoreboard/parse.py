"""What a pod says of itself: one aggregate line becomes a `core.snapshot.Report` (docs/contracts.md, 1).

Unknown fields are let through: the worker image may be newer than the operator. A missing field is an error
that names it, because a guess about somebody's slots would be worse than none.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from mpm_operator.core.snapshot import PodState, Report

if TYPE_CHECKING:
    from collections.abc import Mapping


class Malformed(ValueError):
    """The line is not an aggregate; the text says what is missing or wrong, and where."""


class Edge(StrEnum):
    """Why a line was sent outside its turn."""

    NONE = ""
    SATURATED = "Saturated"
    QUEUED = "Queued"
    QUIESCED = "Quiesced"
    DRAINED = "Drained"
    READY = "Ready"
    CONTROL = "Control"


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    """A part of the aggregate: camelCase names, unknown ones ignored."""


class _Workers(_Part, frozen=True):
    busy: int
    idle: int
    total: int
    queue: int


class _Backlog(_Part, frozen=True):
    limit: int
    overflows: int
    depth: int = 0


class _Connections(_Part, frozen=True):
    open: int
    keep_alive: int
    reading: int = 0
    closing: int = 0


class _Totals(_Part, frozen=True):
    accesses: int
    busy_ms: int
    bytes: int = 0
    connections: int = 0
    cut: int = 0


class _CPU(_Part, frozen=True):
    ms: int
    quota: float
    throttled_ms: int
    user_ms: int | None = None


class _Memory(_Part, frozen=True):
    rss: int
    limit: int


class _Aggregate(_Part, frozen=True):
    boot: str
    state: PodState
    sequence: int
    servers: int
    threads_per_child: int
    threads_ceiling: int
    workers: _Workers
    backlog: _Backlog
    connections: _Connections
    totals: _Totals
    cpu: _CPU
    memory: _Memory
    settings: msgspec.Raw
    uptime_ms: int
    thread_limit: int = 0
    pod: str = ""
    edge: str = ""
    key_version: int = 0
    mpm: str = ""
    letters: str = ""


class Shown(msgspec.Struct, frozen=True):
    """What only pages and metrics show. The planner has no use for it; an older worker may leave it out."""

    mpm: str = ""
    letters: str = ""
    """In the code of `mpm_worker.letters`; empty when the worker sends none."""
    depth: int = 0
    """Connections in the accept queues."""
    reading: int = 0
    closing: int = 0
    sent: int = 0
    """Bytes, cumulative."""
    accepted: int = 0
    """Connections, cumulative."""
    cut: int = 0
    """Servers killed at a drain deadline, cumulative."""
    user_ms: int | None = None
    """The share of the CPU time that was not the kernel's; None when the worker does not tell."""


class Line(msgspec.Struct, frozen=True):
    """One line of the stream."""

    report: Report
    edge: str
    """An `Edge`, or a word of a newer worker."""
    pod_uid: str
    """Who speaks; an address may belong to another pod by now."""
    key_version: int
    shown: Shown = Shown()


_decoder = msgspec.json.Decoder(_Aggregate)
_settings_decoder = msgspec.json.Decoder(dict[str, int | float | bool])


@lru_cache(maxsize=1024)
def _settings(text: bytes) -> Mapping[str, int | float | bool]:
    """Return live settings; a fleet has few different ones, and its pods' reports share them."""
    try:
        return _settings_decoder.decode(text)
    except msgspec.DecodeError as error:
        raise Malformed(f"scoreboard line: settings: {error}") from error


def parse(line: bytes, at: float) -> Line:
    """Return what the line says; `at` = seconds of the monotonic clock when it arrived.

    Raises Malformed.
    """
    try:
        said = _decoder.decode(line)
        settings = _settings(bytes(said.settings))
    except msgspec.DecodeError as error:
        raise Malformed(f"scoreboard line: {error}") from error
    report = Report(
        at=at,
        boot=said.boot,
        state=said.state,
        servers=said.servers,
        threads_per_child=said.threads_per_child,
        threads_ceiling=said.threads_ceiling,
        busy=said.workers.busy,
        idle=said.workers.idle,
        total=said.workers.total,
        queue=said.workers.queue,
        backlog_limit=said.backlog.limit,
        overflows=said.backlog.overflows,
        connections=said.connections.open,
        keep_alive=said.connections.keep_alive,
        accesses=said.totals.accesses,
        busy_ms=said.totals.busy_ms,
        cpu_ms=said.cpu.ms,
        cpu_quota=said.cpu.quota,
        throttled_ms=said.cpu.throttled_ms,
        rss=said.memory.rss,
        memory_limit=said.memory.limit,
        settings=settings,
        sequence=said.sequence,
        uptime_ms=said.uptime_ms,
        thread_limit=said.thread_limit,
    )
    shown = Shown(
        mpm=said.mpm,
        letters=said.letters,
        depth=said.backlog.depth,
        reading=said.connections.reading,
        closing=said.connections.closing,
        sent=said.totals.bytes,
        accepted=said.totals.connections,
        cut=said.totals.cut,
        user_ms=said.cpu.user_ms,
    )
    return Line(report, said.edge, said.pod, said.key_version, shown)
