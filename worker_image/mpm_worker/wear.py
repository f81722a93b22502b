"""Which servers are to be replaced: for what they served, for their memory, for a request that never ends.

The supervisor looks once a second; MaxConnectionsPerChild alone is counted by the process itself. Who is
marked as worn is replaced by `brood`, one at a time, and ends when its requests do.
"""

from __future__ import annotations

import socket
from enum import IntEnum
from typing import TYPE_CHECKING

from mpm_worker.live import LiveSettings
from mpm_worker.say import say
from mpm_worker.scoreboard import LINE, TEXT, WRITE, Live, Server

if TYPE_CHECKING:
    from mpm_worker.brood import Brood, Process
    from mpm_worker.observe import Resources
    from mpm_worker.options import Options
    from mpm_worker.scoreboard import Scoreboard

TRACE = b"t"
"""Through the channel of a process: log the stacks of its overdue requests."""

_HELD = b"RWKLDC"
_FULL = 0.8
"""Share of the memory limit in use from which the most grown process is replaced: the rest is for another."""
_GROWN, _GROWN_OF_LIMIT = 0.25, 0.1
"""A process is never replaced for memory that it needs: it has grown by so much since it was ready."""
_BREAK = 60.0
"""Seconds that one who was replaced for its memory may take to end before the next one is."""


class Wear(IntEnum):
    """Why a process is to be replaced, in the scoreboard's cell `WORN`."""

    NONE = 0
    SERVED = 1
    """Connections or requests."""
    MEMORY = 2
    STUCK = 3
    ASKED = 4
    """It was sent TERM by someone else."""


def send(process: Process, message: bytes) -> None:
    """Through its channel; a byte in it also makes the process look at the scoreboard."""
    try:
        process.channel.send(message, socket.MSG_DONTWAIT)
    except OSError:
        pass  # full: it will look anyway; closed: it is about to be reaped


def spread(pid: int) -> float:
    """0 to 0.1, different for each process, so that they do not go together."""
    return pid * 2654435761 % 1000 / 10000


class Watch:
    """Looks at all processes at each tick and marks those that are worn."""

    def __init__(self, options: Options, board: Scoreboard, brood: Brood) -> None:
        self._options, self._board, self._brood = options, board, brood
        self._live = LiveSettings(board.live)
        self._overdue: set[tuple[int, int, float]] = set()
        """Requests that were told of: pid, slot, when they began."""

    def look(self, now: float, resources: Resources) -> None:
        most = self._options.max_requests_per_child
        for process in self._brood.staying():
            if most and self._served(process) >= most + int(most * spread(process.pid)):
                self._mark(process, Wear.SERVED)
        grown = self._grown(now, resources)
        if grown is not None:
            say(f"server {grown.pid} has grown to {resources.rss[grown.pid] >> 20} MiB and is replaced")
            self._mark(grown, Wear.MEMORY)
        if self._live.request_timeout:
            self._look_for_overdue(now)

    def _mark(self, process: Process, why: Wear) -> None:
        record = self._board.server(process.row)
        record[Server.WORN] = record[Server.WORN] or why

    def _worn(self, process: Process) -> int:
        return self._board.server(process.row)[Server.WORN]

    def _served(self, process: Process) -> int:
        first = process.row * self._board.threads
        return sum(self._board.accesses[first : first + self._board.threads]) - process.accesses

    # -- memory

    def _grown(self, now: float, resources: Resources) -> Process | None:
        """The process whose memory is to be given back."""
        for process in self._brood.processes.values():
            lately = not process.retired or now - process.retired < _BREAK
            if self._worn(process) == Wear.MEMORY and lately:
                return None
        growth = {
            process: resources.rss.get(process.pid, 0) - process.rss_when_ready
            for process in self._brood.staying()
            if process.ready and not self._worn(process)
        }
        much = [process for process in growth if self._too_much(process, growth[process], resources)]
        return max(much, key=growth.__getitem__, default=None)

    def _too_much(self, process: Process, grown: int, resources: Resources) -> bool:
        if grown < _GROWN * process.rss_when_ready:
            return False
        most, allowed = self._live.max_rss, resources.allowed
        if most >= 0:
            return 0 < most * (1 - spread(process.pid)) <= process.rss_when_ready + grown
        limit = allowed.memory
        return 0 < _FULL * limit <= allowed.memory_used and grown >= _GROWN_OF_LIMIT * limit

    # -- requests

    def _look_for_overdue(self, now: float) -> None:
        before, self._overdue = self._overdue, set()
        for process in list(self._brood.processes.values()):
            overdue = self._overdue_of(process, now)
            self._overdue |= overdue
            if overdue:
                self._mark(process, Wear.STUCK)
                self._tell(process, overdue - before)
                self._end_if_alone(process, len(overdue), now)

    def _overdue_of(self, process: Process, now: float) -> set[tuple[int, int, float]]:
        board, first = self._board, process.row * self._board.threads
        letters = board.row_letters(process.row)
        slots = [first + place for place, letter in enumerate(letters) if letter == WRITE]
        began = now - self._live.request_timeout
        return {(process.pid, slot, board.since[slot]) for slot in slots if board.since[slot] < began}

    def _tell(self, process: Process, fresh: set[tuple[int, int, float]]) -> None:
        board = self._board
        width = LINE if board.extended else TEXT
        for _, slot, _since in sorted(fresh):
            text = bytes(board.requests[slot * width : (slot + 1) * width]).rstrip(b"\0").decode("latin-1")
            say(
                f"{text} in slot {process.row}-{slot % board.threads} runs for more than"
                f" {self._live.request_timeout:g} s; server {process.pid} is replaced"
            )
        if fresh:
            send(process, TRACE)

    def _end_if_alone(self, process: Process, overdue: int, now: float) -> None:
        """End a process that was replaced once nothing but overdue requests is left in it.

        One that computes without ever letting go of the interpreter also stops the loop that would close idle
        connections: they are awaited for as long as a request may take, and what is being read or waits for a
        slot, for as long again as a client may be silent.
        """
        if not (process.retired or self._brood.ending):
            return
        held = sum(map(self._board.row_letters(process.row).count, _HELD))
        record = self._board.server(process.row)
        connections = record[Server.CONNECTIONS]
        patience = self._live.request_timeout
        if record[Server.QUEUED] or record[Server.READING]:
            patience += self._board.live[Live.TIMEOUT] / 1000
        long_ago = process.retired and now - process.retired > patience
        if held <= overdue and (connections <= overdue or long_ago):
            process.why = "stuck"
            say(f"server {process.pid} is ended with {overdue} requests that do not end")
            self._brood.kill(process)
