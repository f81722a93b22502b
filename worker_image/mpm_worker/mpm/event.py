"""The event model: a loop holds the connections, slots hold requests.

Idle, reading and closing connections cost no slot. The thread that runs the loop, the *leader*, is itself a
slot: a request of a path known to be quick it answers at once, without waking anybody; before one that may
block it passes the *baton* to a stand-by, which leads on. There is one baton and only who has it touches the
connections. When every slot is busy the main thread, the *keeper*, leads: it reads and queues, and never runs
the application. Otherwise it watches: from a leader stuck in a request it takes the baton away.

Rejected: a loop that hands every request to a pool (a wake-up and a fight for the GIL per request: 19 against
12 µs measured for a small response), and all threads on one epoll (p99 of 30-66 ms).
"""

from __future__ import annotations

import os
import queue
import threading
import time
import traceback
from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING

from mpm_worker.child import serve_slot
from mpm_worker.http import ProtocolError
from mpm_worker.mpm.connections import Connections
from mpm_worker.mpm.paths import Paths
from mpm_worker.scoreboard import DEAD, READ, STARTING
from mpm_worker.wsgi import Outcome, reject

if TYPE_CHECKING:
    from mpm_worker.child import Child
    from mpm_worker.client import Client
    from mpm_worker.http import Request
    from mpm_worker.scoreboard import Slot

    Item = tuple[Client, Request | ProtocolError]

_WATCH = 0.005
"""Seconds a leader may spend in one request before it loses the baton."""
_CALM_WATCH = 0.05
"""Seconds between two looks of the keeper while no leader answers requests itself."""


class _Token(Enum):
    BATON = auto()
    LEAVE = auto()


class Event:
    """Slots, leader and keeper of one process."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._connections = Connections(child)
        self._paths = Paths()
        self._tokens: queue.SimpleQueue[_Token] = queue.SimpleQueue()
        """Where stand-bys wait."""
        self._back: deque[tuple[Client, Outcome]] = deque()
        """Connections on their way back from slots that do not lead."""
        threads = child.board.threads
        self._parked = bytearray(threads)
        """1 for each stand-by; each thread writes its own cell."""
        self._gone: deque[int] = deque()
        self._free = list(range(threads))[::-1]
        self._threads = 0
        self._passed_at = 0.0
        """When the baton was put into `tokens`; 0 once someone has it."""
        self._alone: list[float] = []
        """When the leader began the request it answers itself; who removes the entry keeps the baton."""
        self._keeper_leads = False
        self._summons = threading.Event()
        self._over = False

    def wake(self) -> None:
        """The scoreboard has something new."""
        self._summons.set()
        self._connections.ring()

    # -- keeper

    def run(self) -> None:
        """The main thread: keep the threads asked for, watch the leader, lead when no slot can."""
        self._resize()
        self._pass_baton()
        while not self._over:
            self._summons.wait(_WATCH if self._alone or self._passed_at else _CALM_WATCH)
            self._summons.clear()
            self._resize()
            if not self._keeper_leads:
                self._watch()
            if self._keeper_leads:
                self._keep()
        for _ in range(self._threads):
            self._tokens.put(_Token.LEAVE)

    def _watch(self) -> None:
        """Take the baton from where it rests: a leader that is stuck, or `tokens` with nobody waiting."""
        now = time.monotonic()
        try:
            if now - self._alone[0] < _WATCH:
                return
            self._alone.pop()
        except IndexError:
            if not self._passed_at or now - self._passed_at < _WATCH or not self._fetch_baton():
                return
        self._pass_baton()

    def _fetch_baton(self) -> bool:
        others = []
        try:
            while (token := self._tokens.get_nowait()) is not _Token.BATON:
                others.append(token)
            return True
        except queue.Empty:
            return False
        finally:
            for token in others:
                self._tokens.put(token)

    def _pass_baton(self) -> None:
        """Give it to a stand-by, or to the keeper when there is none. The caller has it, and no longer."""
        if 1 in self._parked:
            self._passed_at = time.monotonic()
            self._tokens.put(_Token.BATON)
        else:
            self._keeper_leads = True
            self._summons.set()

    def _keep(self) -> None:
        """Lead while every slot is busy; they take what is queued here without being told."""
        connections = self._connections
        while not self._ended():
            # Looked at before each wait: a slot that parked while the baton came here rang for nobody.
            if 1 in self._parked:
                connections.report(0)
                self._keeper_leads = False
                self._pass_baton()
                return
            connections.turn(0, self._threads, wait=True)
            self._take_back()
            connections.report(len(connections.ready))
            self._resize()

    def _resize(self) -> None:
        while self._gone:
            self._free.append(self._gone.popleft())
        wanted = self._child.live.threads
        while self._threads < wanted and self._free:
            index = self._free.pop()
            self._child.board.slot(self._child.row, index).state(STARTING)
            threading.Thread(target=self._slot, args=(index,), name=f"slot-{index}", daemon=True).start()
            self._threads += 1
        while self._threads > wanted:
            self._tokens.put(_Token.LEAVE)
            self._threads -= 1

    # -- slots

    def _slot(self, index: int) -> None:
        try:
            self._live(index)
        except BaseException:
            # A leader that falls would take the baton with it: the process is replaced instead.
            traceback.print_exc()
            os._exit(1)

    def _live(self, index: int) -> None:
        slot = self._child.board.slot(self._child.row, index)
        slot.release()
        while True:
            self._parked[index] = 1
            if self._keeper_leads:
                self._connections.ring()  # it can stop leading
            token = self._tokens.get()
            self._parked[index] = 0
            if token is _Token.LEAVE:
                break
            self._passed_at = 0.0
            item = self._lead(slot)
            while item is not None:
                self._back.append((item[0], self._answer(item, slot)))
                self._connections.ring()
                item = self._next_queued(slot)
        slot.release(DEAD)
        self._gone.append(index)
        self._summons.set()

    def _next_queued(self, slot: Slot) -> Item | None:
        """For a slot that has become free while the keeper leads."""
        item = self._pop() if self._keeper_leads else None
        if item is not None:
            slot.begin(READ, complete=True)
        return item

    def _pop(self) -> Item | None:
        try:
            return self._connections.ready.popleft()
        except IndexError:
            return None

    def _lead(self, slot: Slot) -> Item | None:
        """Run the loop until there is a request that may block, which is returned, or the baton is lost."""
        connections = self._connections
        ready = connections.ready
        while not self._ended():
            connections.turn(self._idle(), self._threads, wait=not ready)
            self._take_back()
            connections.report(0)
            while item := self._pop():
                slot.begin(READ, complete=True)  # before anyone else can lead and take this slot for idle
                if self._may_block(item):
                    self._pass_baton()
                    return item
                self._alone.append(time.monotonic())
                outcome = self._answer(item, slot)
                try:
                    self._alone.pop()
                except IndexError:  # the keeper took the baton; this connection goes back like any other
                    self._back.append((item[0], outcome))
                    connections.ring()
                    return None
                connections.settle(item[0], outcome)
        return None

    def _idle(self) -> int:
        """Slots without a request, given or waiting; who leads is one of them."""
        letters = self._child.board.row_letters(self._child.row)
        return letters.count(b"_") - len(self._connections.ready)

    def _ended(self) -> bool:
        if not self._over and self._child.ending() and not len(self._connections):
            self._over = True
            self._summons.set()
        return self._over

    def _take_back(self) -> None:
        while self._back:
            client, outcome = self._back.popleft()
            self._connections.settle(client, outcome)

    # -- requests

    def _may_block(self, item: Item) -> bool:
        client, request = item
        if isinstance(request, ProtocolError):
            return False
        # A body that has not arrived is awaited from the client, whatever the path does with it.
        return not client.connection.body_done or self._paths.blocks(
            self._paths.key(request.method, request.path)
        )

    def _answer(self, item: Item, slot: Slot) -> Outcome:
        client, request = item
        self._child.alarm_if_full()
        if isinstance(request, ProtocolError):
            outcome = Outcome(False, request.status, reject(client.sock, request))
            slot.done(outcome.sent)
            self._child.logged(client, None, request.status, outcome.sent, slot)
        else:
            began = slot.mark
            outcome = serve_slot(self._child, client, request, slot)
            self._paths.learn(self._paths.key(request.method, request.path), slot.mark - began)
        slot.release()
        return outcome
