"""The server processes of one supervisor: forked, replaced, retired, reaped.

A *seat* is a place a process can have (and, for event, a listener); a *row* of the scoreboard belongs to
one process at a time. A replacement has the seat of the process it replaces and a row of its own.
"""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpm_worker import procfs
from mpm_worker.child import EXIT_APP, Child
from mpm_worker.hooks import Hooks
from mpm_worker.options import EVENT
from mpm_worker.say import flush, say
from mpm_worker.scoreboard import Live, Scoreboard, Server
from mpm_worker.wear import Wear, send

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_worker.listeners import Listeners
    from mpm_worker.options import Options

_YOUNG = 5.0
"""Seconds; a process that ends younger than this, unasked, counts as a failure."""
_PATIENT_FAILURES = 3
"""Failures in a row that are answered at once (httpd's event waits after as many: AH10392)."""
_LONGEST_WAIT = 32.0


REASONS = ("surplus", "restart", "worn", "memory", "stuck", "stopped", "deadline", "failed")
"""Why a server ended: fewer were wanted, a graceful restart, what it had served, its memory, a request that
did not end (it was cut), the end of the pod, the graceful timeout (then it was cut), or of its own accord."""
_WEAR = {Wear.NONE: "restart", Wear.MEMORY: "memory", Wear.STUCK: "stuck"}


@dataclass(eq=False, slots=True)
class Process:
    """One server, as its parent knows it."""

    pid: int
    row: int
    seat: int
    generation: int
    channel: socket.socket
    started: float
    accesses: int
    """Of its row, before it came."""
    accepted: int
    ready: bool = False
    rss_when_ready: int = 0
    """Bytes."""
    retired: float = 0.0
    """When it was told to end; 0: it was not."""
    killed: bool = False
    """By us."""
    why: str = ""
    """Of its end, one of `REASONS`."""


class NoChild(Exception):
    """No process ever came up; the supervisor gives up."""


class Brood:
    """Makes what is there into what is wanted, a step at each call of `maintain`.

    :param adopt: told of a new process in the supervisor; `bury` of one that has ended
    :param cut_cord: called in the new process: closes what belongs to the supervisor
    """

    def __init__(
        self,
        options: Options,
        board: Scoreboard,
        listeners: Listeners,
        adopt: Callable[[Process], None],
        bury: Callable[[Process], None],
        cut_cord: Callable[[], None],
    ) -> None:
        self._options, self._board, self._listeners = options, board, listeners
        self._adopt, self._bury, self._cut_cord = adopt, bury, cut_cord
        self.processes: dict[int, Process] = {}
        self.hooks = Hooks()
        self.wanted = options.processes
        self.generation = 0
        self.ends = dict.fromkeys(REASONS, 0)
        """How many servers have ended, by reason."""
        self.ever_ready = False
        self.ending = False
        """Nothing is started any more."""
        self.forking = False
        """Whether a fork is one of a server; in a server it stays so."""
        self._restarts = 0
        self._failures = 0
        self._not_before = 0.0

    @property
    def most(self) -> int:
        """Processes that may be asked for (httpd's ServerLimit)."""
        return self._options.server_limit

    def staying(self) -> list[Process]:
        return [process for process in self.processes.values() if not process.retired]

    def ready(self) -> bool:
        """Whether some process serves and stays."""
        return any(process.ready for process in self.staying())

    # -- what happened

    def restart(self) -> None:
        """Replace all processes by new ones, each of which is ready before the old one goes."""
        self._restarts += 1
        self.generation = self._restarts

    def became_ready(self, process: Process) -> None:
        process.ready = True
        process.rss_when_ready = procfs.rss(process.pid)
        self.ever_ready = True

    def reap(self, now: float) -> list[Process]:
        """Wait for whatever has ended, strangers included: as PID 1 nobody else does."""
        gone = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            process = self.processes.pop(pid, None)
            if process is not None:
                gone.append(process)
                self._ended(process, os.waitstatus_to_exitcode(status), now)
        return gone

    def _ended(self, process: Process, code: int, now: float) -> None:
        self._bury(process)
        process.channel.close()
        self._board.clear_letters(process.row)
        record = self._board.server(process.row)
        for cell in Server:
            if cell != Server.ACCEPTED:
                record[cell] = 0
        self._empty_inbox(process.seat)
        ended_well = code == 0 or not process.ready or process.killed
        asked = bool(process.retired) or (self.ending and ended_well)
        self.ends[process.why or ("stopped" if asked else "failed")] += 1
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        if asked and (code == 0 or process.killed):
            return
        say(f"server {process.pid} {how}")
        if asked:
            return
        failed = not process.ready or now - process.started < _YOUNG
        self._failures = self._failures + 1 if failed else 0
        hopeless = code == EXIT_APP or self._failures >= _PATIENT_FAILURES
        if not self.ever_ready and hopeless:
            raise NoChild(f"no server could be started (the last one {how})")
        if code == EXIT_APP and process.generation > min(
            (p.generation for p in self.staying()), default=1 << 60
        ):
            self.generation = min(p.generation for p in self.staying())
            say(f"graceful restart given up, generation {self.generation} goes on serving")
        if self._failures >= _PATIENT_FAILURES:
            wait = min(2.0 ** (self._failures - _PATIENT_FAILURES), _LONGEST_WAIT)
            self._not_before = now + wait
            say(f"{self._failures} servers ended one after the other, the next is started in {wait:.0f} s")

    def _empty_inbox(self, seat: int) -> None:
        """What was passed to a server that has ended: its seat may stay empty for long, or for good.

        Siblings that pass something on look again whether it lives, so nothing comes later.
        """
        inboxes = self._listeners.inboxes
        ready = [process.seat for process in self.staying() if process.ready]
        if inboxes is not None and ready and seat not in ready:
            inboxes.move(seat, ready[0])

    # -- what is to be done

    def maintain(self, now: float) -> None:
        """Start, replace and retire. At most one replacement is on its way at any time."""
        for process in self._surplus():
            self.retire(process, now, "surplus")
        staying = self.staying()
        for process in staying:
            # One that hangs in its import would keep newer code from being tried.
            if not process.ready and process.generation < self.generation and self._is_replacing(process):
                self.retire(process, now, "restart")
        staying = self.staying()
        replacing = any(not process.ready and self._is_replacing(process) for process in staying)
        for seat in range(self.wanted):
            here = [process for process in staying if process.seat == seat]
            fresh = [process for process in here if not self._stale(process)]
            if any(process.ready for process in fresh):
                for process in here:
                    if process not in fresh:
                        worn = Wear(self._board.server(process.row)[Server.WORN])
                        self.retire(process, now, _WEAR.get(worn, "worn"))
            elif not fresh and (not here or not replacing):
                replacing |= bool(here)
                self._fork(seat, now)
        self.share_listeners()

    def _surplus(self) -> list[Process]:
        """Who is one too many. While none of those that are wanted serves yet, one that does is not."""
        staying = self.staying()
        surplus = [process for process in staying if process.seat >= self.wanted]
        if not any(process.ready and process.seat < self.wanted for process in staying):
            kept = next((process for process in surplus if process.ready), None)
            return [process for process in surplus if process is not kept]
        return surplus

    def _is_replacing(self, process: Process) -> bool:
        """Whether another one stays at its seat."""
        return any(other.seat == process.seat and other is not process for other in self.staying())

    def _stale(self, process: Process) -> bool:
        worn = self._board.server(process.row)[Server.WORN]
        return process.generation < self.generation or bool(worn)

    def retire(self, process: Process, now: float, why: str) -> None:
        if not process.retired:
            process.why = why
            process.retired = now
            self._board.server(process.row)[Server.RETIRING] = 1
            wake(process)
            self.end_if_importing(process)

    def end_if_importing(self, process: Process) -> None:
        """Kill a process that was told to end and never accepted: it may import for long yet.

        It sets `UP` and then looks whether to end; we tell it to end and then look at `UP`. So a process that
        is not up here accepts nothing, however close the race.
        """
        if not self._board.server(process.row)[Server.UP]:
            self.kill(process)

    def kill(self, process: Process) -> None:
        """End it at once, whatever it serves."""
        process.killed = True
        os.kill(process.pid, signal.SIGKILL)

    def share_listeners(self) -> None:
        """Event: let all serve the listener of a seat that is empty or whose process has no room."""
        if self._options.mpm != EVENT:
            return
        ready = [process for process in self.staying() if process.ready]
        able = {p.seat for p in ready if not self._board.server(p.row)[Server.NOT_ACCEPTING]}
        help_ = not able.issuperset(self._listeners.listening())
        for process in ready:
            record = self._board.server(process.row)
            if record[Server.HELP] != help_:
                record[Server.HELP] = help_
                wake(process)

    def wake_all(self) -> None:
        for process in self.processes.values():
            wake(process)

    # -- fork

    def _fork(self, seat: int, now: float) -> None:
        if self.ending or now < self._not_before:
            return
        row = self._free_row()
        if row is None:
            self._not_before = now + 10
            there = len(self.processes)
            say(f"no room for another server: {there} are there, {self._finishing()} of them finish")
            return
        self._listeners.listen(seat)
        self._board.live[Live.SEATS] = len(self._listeners.listening())
        self._board.live[Live.ROWS] = max(self._board.live[Live.ROWS], row + 1)
        record = self._board.server(row)
        record[Server.SEAT], record[Server.GENERATION], record[Server.RETIRING] = seat, self.generation, 0
        self.hooks.attempt("pre_fork", seat)  # what it forks shall not inherit the channel
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            self._not_before = now + 10
            say(f"no descriptor for another server: {error.strerror}; trying again in 10 s")
            return
        flush()  # else every server would print what an import or a hook has printed here
        self.forking = True
        try:
            pid = os.fork()
        except OSError as error:
            self.forking = False
            ours.close()
            theirs.close()
            self._not_before = now + 10  # httpd sleeps as long
            say(f"cannot fork: {error.strerror}; trying again in 10 s")
            return
        if pid == 0:
            try:
                ours.close()
                self.leave()
                Child(self._options, self._board, row, self._listeners, theirs, self.hooks).run()
            finally:
                os._exit(1)  # the frames below are the supervisor's: they would end its other children
        self.forking = False
        theirs.close()
        ours.setblocking(False)
        record[Server.PID] = pid
        first = row * self._board.threads
        accesses = sum(self._board.accesses[first : first + self._board.threads])
        process = Process(pid, row, seat, self.generation, ours, now, accesses, record[Server.ACCEPTED])
        self.processes[pid] = process
        self._adopt(process)

    def leave(self) -> None:
        """In a new process: nothing of the supervisor's stays open, or it would outlive the supervisor."""
        for process in self.processes.values():
            process.channel.close()
        self._cut_cord()

    def _finishing(self) -> int:
        return sum(bool(process.retired) for process in self.processes.values())

    def _free_row(self) -> int | None:
        used = {process.row for process in self.processes.values()}
        return next((row for row in range(self._board.rows) if row not in used), None)


def wake(process: Process) -> None:
    """Make it look at the scoreboard."""
    send(process, b"w")
