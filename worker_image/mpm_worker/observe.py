"""Reads the scoreboard and the kernel into one value: what the pod is doing now."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpm_worker import cgroup, procfs
from mpm_worker.scoreboard import Live, Scoreboard, Server

if TYPE_CHECKING:
    from mpm_worker.brood import Brood, Process
    from mpm_worker.listeners import Backlog, Listeners

_BUSY = b"RWKLDC"
_SERVED = b"WLD"
_SERVED_BY_EVENT = b"RWLD"
"""There R is a request whose head is complete; elsewhere a connection that may never bring one."""
_GOING = bytes.maketrans(_BUSY + b"_", b"G" * len(_BUSY) + b"I")


@dataclass(frozen=True, slots=True)
class Load:
    """What moves within milliseconds: slots, queue, connections."""

    busy: int
    idle: int
    queue: int
    backlog: Backlog
    connections: int
    keep_alive: int
    reading: int
    closing: int
    served: int = 0
    """Slots that have a request: without those that wait for one, or for the end of a connection."""

    @property
    def total(self) -> int:
        return self.busy + self.idle


@dataclass(frozen=True, slots=True)
class Totals:
    """Cumulative since boot; `busy_ms` is slot time."""

    accesses: int
    sent: int
    connections: int
    busy_ms: int


@dataclass(frozen=True, slots=True)
class Durations:
    """Requests by how long they took, cumulative since boot: one count for each of `BOUNDS`, one beyond."""

    counts: tuple[int, ...]
    seconds: float
    """All of them together."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What moves within seconds: CPU (seconds, never going back), memory (bytes), and what is allowed."""

    cpu: procfs.Cpu
    rss: dict[int, int]
    allowed: cgroup.Allowance

    @property
    def memory(self) -> int:
        return sum(self.rss.values())


class Arrivals:
    """When the last new connection was seen (the admin port's are none)."""

    def __init__(self, board: Scoreboard) -> None:
        self._board, self._accepted = board, 0
        self.last = -math.inf
        """Of the monotonic clock."""

    def look(self, now: float) -> None:
        accepted = _accepted(self._board)
        if accepted != self._accepted:
            self._accepted, self.last = accepted, now


class Observer:
    """Looks; changes nothing. `accepting` false (quiescing, stopping): no slot counts as idle."""

    def __init__(self, board: Scoreboard, listeners: Listeners, brood: Brood, event: bool) -> None:
        self._board, self._listeners, self._brood, self._event = board, listeners, brood, event

    def load(self, *, accepting: bool) -> Load:
        busy = idle = open_ = keep_alive = queued = reading = closing = served = 0
        requests = _SERVED_BY_EVENT if self._event else _SERVED
        for process in self._brood.processes.values():
            letters = self._board.row_letters(process.row)
            slots = sum(map(letters.count, _BUSY))
            busy += slots
            served += sum(map(letters.count, requests))
            if accepting and not process.retired:
                idle += letters.count(b"_")
            if self._event:
                record = self._board.server(process.row)
                open_ += record[Server.CONNECTIONS]
                keep_alive += record[Server.KEEPALIVE]
                queued += record[Server.QUEUED]
                reading += record[Server.READING]
                closing += record[Server.LINGERING]
            else:
                open_ += slots
                keep_alive += letters.count(b"K")
                reading += letters.count(b"R")
                closing += letters.count(b"C")
        backlog = self._listeners.backlog()
        queue = backlog.depth + queued
        return Load(busy, idle, queue, backlog, open_, keep_alive, reading, closing, served)

    def totals(self) -> Totals:
        board = self._board
        slots = board.live[Live.ROWS] * board.threads
        accepted = _accepted(board)
        busy = sum(board.busy[:slots])
        return Totals(sum(board.accesses[:slots]), sum(board.sent[:slots]), accepted, int(busy * 1000))

    def durations(self) -> Durations:
        board = self._board
        used = board.live[Live.ROWS] * board.threads
        starts = range(0, len(board.durations), board.slots)
        counts = tuple(sum(board.durations[start : start + used]) for start in starts)
        return Durations(counts, sum(board.took[:used]))

    def resources(self, before: procfs.Cpu) -> Resources:
        """:param before: the CPU time the last call gave"""
        pids = list(self._brood.processes)
        cpu = never_less(procfs.cpu(pids), before)
        return Resources(cpu, {pid: procfs.rss(pid) for pid in pids}, cgroup.allowance())

    def process(self, process: Process, rss: int, *, accepting: bool) -> dict[str, object]:
        """One entry of `processes` in /scoreboard."""
        board, record = self._board, self._board.server(process.row)
        letters = letters_of(board, process, accepting=accepting)
        first = process.row * board.threads
        slots = len(letters) - sum(map(letters.count, "._SI"))
        return {
            "slot": process.row,
            "pid": process.pid,
            "generation": process.generation,
            "retiring": bool(process.retired),
            "notAccepting": bool(record[Server.NOT_ACCEPTING]),
            "letters": letters,
            "requests": sum(board.accesses[first : first + board.threads]) - process.accesses,
            "connections": record[Server.CONNECTIONS] if self._event else slots,
            "keepAlive": record[Server.KEEPALIVE] if self._event else letters.count("K"),
            "rss": rss,
            "uptimeMs": int((time.monotonic() - process.started) * 1000),
        }


def _accepted(board: Scoreboard) -> int:
    return sum(board.server(row)[Server.ACCEPTED] for row in range(board.live[Live.ROWS]))


def never_less(now: procfs.Cpu, before: procfs.Cpu) -> procfs.Cpu:
    """`now`, but neither user nor system time, children included, less than `before`.

    Who is reaped moves from a process's own time to the children's. So their sum must not fall: the
    greater of each would count that process twice, and then stand still. What the kernel's rounding takes is
    given to the children.
    """
    return now._replace(
        children_user=max(now.children_user, before.user + before.children_user - now.user),
        children_system=max(now.children_system, before.system + before.children_system - now.system),
    )


def letters_of(board: Scoreboard, process: Process, *, accepting: bool = True) -> str:
    """mod_status's letters of one process. What is retiring shows G for what it still serves, I for the rest.

    :param accepting: false when the whole pod is going (quiescing or stopping)
    """
    letters = board.row_letters(process.row)
    if process.retired or not accepting:
        letters = letters.translate(_GOING)
    if not process.ready and letters.startswith(b"."):  # its slots may come before its word
        letters = b"S" + letters[1:]
    return letters.decode("ascii")
