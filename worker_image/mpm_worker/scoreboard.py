"""The scoreboard: shared memory that every slot writes for itself and the supervisor reads.

Laid out in columns, one cell a slot, so that totals are sums over one run of memory and letters are read as
they are printed. Times are seconds. Each cell has one writer at a time and is at most eight aligned bytes, so
nobody locks. Counters belong to the slot, not to the process in it (as access_count in httpd's scoreboard.h):
they survive the death of a process and never go back.
"""

from __future__ import annotations

import mmap
import time
from bisect import bisect_left
from enum import IntEnum, auto
from struct import Struct
from typing import Any

from mpm_worker import compiled

DEAD, STARTING, READY, READ, WRITE, KEEPALIVE, CLOSING, LOGGING, DNS = b".S_RWKCLD"
"""httpd's letters (mod_status.c), as bytes. G and I are made by the reader, of slots that retire."""

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds (seconds) of the buckets in which durations of requests are counted; a last one has none."""

TEXT = 64
"""Bytes kept of method and path, and of the client; the length of httpd's worker_score.request."""
LINE = 256
"""Bytes kept of the whole request line when the extended status is on."""
_CELL = 8


class Phase(IntEnum):
    """What the whole pod does; children read it at every response."""

    SERVING = 0
    LETTING_GO = 1
    """Serves, and answers `Connection: close` (quiescing, or between TERM and the end of the drain delay)."""
    FINISHING = 2
    """Accepts nothing more and ends when the last connection has."""


class Live(IntEnum):
    """Cells the supervisor writes for all children. Times are milliseconds, the factor thousandths."""

    PHASE = 0
    PRESSURE = auto()
    """1 while connections wait to be accepted and no slot is free."""
    ALARM = auto()
    """1 from the moment a child reported a change until the supervisor looked."""
    RELEASE = auto()
    """Number of the last rebalance call, and …"""
    RELEASE_SHARE = auto()
    """… the share of connections it lets go, in thousandths."""
    THREADS = auto()
    TIMEOUT = auto()
    KEEP_ALIVE = auto()
    KEEP_ALIVE_TIMEOUT = auto()
    MAX_KEEP_ALIVE_REQUESTS = auto()
    LIMIT_REQUEST_BODY = auto()
    MAX_CONNECTIONS_PER_CHILD = auto()
    MAX_RSS = auto()
    """Bytes; -1: what the memory limit leaves."""
    REQUEST_TIMEOUT = auto()
    ASYNC_FACTOR = auto()
    ROWS = auto()
    """Rows that were ever used; they are the first ones."""
    SEATS = auto()
    """Seats whose listener listens; they are the first ones."""
    CERTIFICATES = auto()
    """Number of the last loading of the certificates."""


class Server(IntEnum):
    """Cells of one process. The supervisor writes the first group, the child the second."""

    PID = 0
    GENERATION = auto()
    SEAT = auto()
    RETIRING = auto()
    HELP = auto()
    """1 when the event MPM shall also accept from the listeners of other seats."""

    CONNECTIONS = auto()
    """Open connections of the event loop; the other models show theirs by letters."""
    KEEPALIVE = auto()
    QUEUED = auto()
    READING = auto()
    LINGERING = auto()
    ACCEPTED = auto()
    """Connections since boot of this row (cumulative)."""
    UP = auto()
    """1 from the moment before it may accept; a process that is told to end earlier has nothing to finish."""
    NOT_ACCEPTING = auto()
    WORN = auto()
    """Why the process is to be replaced, as `wear.Wear`; 0: it is not."""


class Scoreboard:
    """Memory for `rows` processes of at most `threads` threads; shared with every process forked later."""

    def __init__(self, rows: int, threads: int, *, extended: bool = False) -> None:
        self.rows, self.threads, self.extended = rows, threads, extended
        self.slots = slots = rows * threads
        columns = {"live": len(Live) * _CELL, "servers": rows * len(Server) * _CELL}
        columns |= dict.fromkeys(("accesses", "sent", "busy", "took", "since", "last"), slots * _CELL)
        # One column a bucket, so that a bucket of all slots is one run of memory.
        columns |= {"durations": (len(BOUNDS) + 1) * slots * _CELL}
        columns |= {"letters": slots, "requests": slots * (LINE if extended else TEXT)}
        columns |= {"clients": slots * TEXT if extended else 0}
        self.memory = mmap.mmap(-1, sum(columns.values()))
        view, offset = memoryview(self.memory), 0
        self._at: dict[str, int] = {}
        parts: dict[str, memoryview] = {}
        for name, size in columns.items():
            self._at[name] = offset
            parts[name] = view[offset : offset + size]
            offset += size
        self.live: memoryview[int] = parts["live"].cast("q")
        self.servers: memoryview[int] = parts["servers"].cast("q")
        self.accesses: memoryview[int] = parts["accesses"].cast("q")
        self.sent: memoryview[int] = parts["sent"].cast("q")
        self.busy: memoryview[Any] = parts["busy"].cast("d")
        self.took: memoryview[Any] = parts["took"].cast("d")
        self.durations: memoryview[int] = parts["durations"].cast("q")
        self.since: memoryview[Any] = parts["since"].cast("d")
        self.last: memoryview[Any] = parts["last"].cast("d")
        self.letters: memoryview[int] = parts["letters"]
        self.requests: memoryview[int] = parts["requests"]
        self.clients: memoryview[int] = parts["clients"]
        self.letters[:] = bytes([DEAD]) * slots

    def server(self, row: int) -> Record:
        width = len(Server)
        return Record(self.servers[row * width : (row + 1) * width])

    def row_letters(self, row: int) -> bytes:
        return bytes(self.letters[row * self.threads : (row + 1) * self.threads])

    def clear_letters(self, row: int) -> None:
        """Of a process that has ended."""
        self.letters[row * self.threads : (row + 1) * self.threads] = bytes([DEAD]) * self.threads

    def any_ready(self) -> bool:
        """Whether some slot of some process is idle."""
        start = self._at["letters"]
        return self.memory.find(b"_", start, start + self.live[Live.ROWS] * self.threads) >= 0

    def slot(self, row: int, thread: int) -> Slot:
        index = row * self.threads + thread
        if compiled.module is None:
            return Slot(self, index)
        widths = (LINE, TEXT) if self.extended else (TEXT, 0)
        twin: Slot = compiled.module.Slot(self, index, BOUNDS, *widths)
        return twin


class Record:
    """The cells of one process."""

    __slots__ = ("cells",)

    def __init__(self, cells: memoryview[int]) -> None:
        self.cells = cells

    def __getitem__(self, cell: Server) -> int:
        return self.cells[cell]

    def __setitem__(self, cell: Server, value: int) -> None:
        self.cells[cell] = value

    def add(self, cell: Server, value: int) -> None:
        self.cells[cell] += value


class Slot:
    """One thread's own line of the scoreboard. Only that thread writes it.

    It remembers what it has counted, so that counting only writes, and it reads the clock as rarely as it
    can: all of it costs a request about a microsecond, a sixth of that being two readings of the clock.
    """

    __slots__ = (
        *("_accesses", "_asked", "_busy", "_sent", "_took", "index", "mark"),
        *("_board", "_fresh", "_letters", "_slots", "_text", "_write"),
    )

    def __init__(self, board: Scoreboard, index: int) -> None:
        self._board, self.index = board, index
        self._letters, self._slots = board.letters, board.slots
        width = LINE if board.extended else TEXT
        self._text = index * width
        self._write = Struct(f"{width}s").pack_into  # cuts and fills with zeros in one go
        self._accesses, self._sent = board.accesses[index], board.sent[index]
        self._busy, self._took = board.busy[index], board.took[index]
        self.mark = time.monotonic()
        self._asked = 0.0
        self._fresh = True
        """Nothing has been held since `mark`."""

    def state(self, letter: int) -> None:
        self._fresh = False
        self._letters[self.index] = letter

    def begin(self, letter: int, *, complete: bool = False) -> None:
        """The slot is held from now on: by a connection (prefork, worker) or by a request (event).

        :param complete: the head of the request is there, and its duration counts from now
        """
        self.mark = self._board.since[self.index] = time.monotonic()
        self._asked = self.mark if complete else 0.0
        self._fresh = False
        self._letters[self.index] = letter

    def request(self, text: bytes, client: str = "") -> None:
        """What is shown of the current request: method and path, or the line and the client when extended."""
        board, index = self._board, self.index
        self._write(board.requests, self._text, text)
        if board.extended:
            board.clients[index * TEXT : index * TEXT + TEXT] = client.encode()[:TEXT].ljust(TEXT, b"\0")
        if not self._asked:
            self._asked = board.since[index] = time.monotonic()
        self._letters[index] = WRITE  # last: who sees it takes `since` for the begin of this request

    def done(self, sent: int) -> None:
        """One request is complete. The time since `begin`, or since the last `done`, counts as busy.

        The duration of the request is that since `request`: without the wait for it.
        """
        board, index = self._board, self.index
        now = time.monotonic()
        took = now - (self._asked or self.mark)
        self._asked = 0.0
        board.durations[bisect_left(BOUNDS, took) * self._slots + index] += 1
        board.last[index] = took
        self._took = board.took[index] = self._took + took
        self._busy = board.busy[index] = self._busy + (now - self.mark)
        self._accesses = board.accesses[index] = self._accesses + 1
        self._sent = board.sent[index] = self._sent + sent
        self.mark = now
        self._fresh = True

    def release(self, letter: int = READY) -> None:
        """The slot is free (or dead); what it was held for beyond the last request counts too."""
        board, index = self._board, self.index
        self._letters[index] = letter
        if not self._fresh:
            now = time.monotonic()
            self._busy = board.busy[index] = self._busy + (now - self.mark)
            self.mark = now
            self._fresh = True
