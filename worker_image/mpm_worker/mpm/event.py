"""The event model: a loop holds the connections, slots hold requests.

Idle, reading and closing connections cost no slot. The thread that runs the loop, the *leader*, answers most
requests by itself: nobody is woken, nobody fights for the interpreter. With a request of a path that is
known to wait (`paths`) it wakes another thread: for the request while others are ready, else for the lead.
Who waits in the leader without being known for it loses the lead: the main thread watches, and gives it to
another.

There is one lead and only who has it touches the connections; the others send a connection back through a
deque and a bell. There is one thread more than slots, so that somebody leads while every slot is busy.

Rejected: a loop that hands every request to a pool (a wake-up and a fight for the interpreter per request: 43
against 16 µs of CPU for a small response); judging a path by how long it takes (who computes is no better off
elsewhere); all threads on one epoll (p99 of 30-66 ms).
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
import traceback
from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from mpm_worker import compiled
from mpm_worker.http import ProtocolError
from mpm_worker.mpm.connections import Connections
from mpm_worker.mpm.paths import ODD, Path, Paths
from mpm_worker.say import say
from mpm_worker.scoreboard import DEAD, READ, STARTING
from mpm_worker.serving import refuse, serve_slot
from mpm_worker.wsgi import Outcome

if TYPE_CHECKING:
    from mpm_worker.child import Child
    from mpm_worker.client import Client
    from mpm_worker.http import Request
    from mpm_worker.scoreboard import Slot

    Item = tuple[Client, Request | ProtocolError]

_WATCH: Final = 0.005
"""Seconds the leader may wait in one request before it loses the lead."""
_LONG: Final = 0.05
"""Seconds after which it loses the lead though it works: a share of the interpreter is left for others."""
_SHARE: Final = 0.001
"""Seconds a thread keeps the interpreter from one that asks for it, where the leader is compiled."""
_NEAR: Final = 0.05
"""Seconds for which a light request means that more will come."""
_CALM: Final = 20
"""Looks without a request in between, after which the watch sleeps until there is one."""


class _Order(Enum):
    LEAD = auto()
    LEAVE = auto()


class Event:
    """Slots, leader and watch of one process."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._connections = Connections(child)
        self._ready = self._connections.ready
        self._paths = Paths()
        self._refusals = Path()
        self._work: queue.SimpleQueue[tuple[Item, Slot, Path] | _Order] = queue.SimpleQueue()
        """Where threads wait: for a request, for the lead, or for the end."""
        self._back: deque[tuple[Client, Outcome]] = deque()
        self._rung = False
        self._unused = [child.board.slot(child.row, index) for index in range(child.board.threads)][::-1]
        self._free: list[Slot] = []
        """Idle slots; the last one is taken first, so that few need stay warm."""
        self._threads = 0
        """Slots, busy ones included."""
        self._alone: list[Slot] = []
        """The slot of the request that the leader answers now; who removes it has the lead."""
        self._path = self._refusals
        self._calls = 0
        self._light_until = 0.0 if compiled.module is not None else -1.0
        """Until then heavy requests make room for light ones; negative: never."""
        self._leader = 0
        self._calm = True
        """Whether the watch sleeps until `_stir` is set."""
        self._stir = threading.Event()
        self._over = False

    def wake(self) -> None:
        """The scoreboard has something new."""
        self._connections.ring()

    # -- the main thread

    def run(self) -> None:
        """Start the threads, then watch the leader until the end."""
        if compiled.module is not None:
            sys.setswitchinterval(_SHARE)
        self._start()
        self._resize()
        self._child.serving()
        self._work.put(_Order.LEAD)
        while not self._over:
            self._stir.wait()
            self._stir.clear()
            self._watch()
        for _ in range(self._threads + 1):
            self._work.put(_Order.LEAVE)

    def _watch(self) -> None:
        """Look at the leader every few milliseconds for as long as it answers requests."""
        calm = calls = 0
        while calm < _CALM and not self._over:
            time.sleep(_WATCH)
            calm = calm + 1 if calls == self._calls and not self._alone else 0
            calls = self._calls
            if self._stuck():
                self._take_the_lead()
        self._calm = True
        if self._alone:  # it began before it could see that
            self._stir.set()

    def _stuck(self) -> bool:
        try:
            spent = time.monotonic() - self._alone[0].mark
        except IndexError:
            return False
        return spent >= _LONG or (spent >= _WATCH and _sleeps(self._leader))

    def _take_the_lead(self) -> None:
        path = self._path
        try:
            self._alone.pop()
        except IndexError:
            return  # it is done
        if path is not self._refusals:
            path.mark(_WATCH)
        self._work.put(_Order.LEAD)

    # -- threads

    def _start(self) -> None:
        threading.Thread(target=self._live, name="slot", daemon=True).start()

    def _live(self) -> None:
        try:
            while (task := self._work.get()) is not _Order.LEAVE:
                if task is _Order.LEAD:
                    self._lead()
                else:
                    self._serve(*task)
        except BaseException:
            # A leader that falls would take the lead with it: the process is replaced instead.
            traceback.print_exc()
            os._exit(1)

    def _serve(self, item: Item, slot: Slot, path: Path) -> None:
        """Answer a request that was handed over, and what has queued up meanwhile."""
        queued: Item | None = item
        while queued is not None:
            client, request = queued
            began, worked = slot.mark, time.thread_time()
            outcome = self._answer(client, request, slot)
            path.handed_over(slot.mark - began, time.thread_time() - worked)
            at_rest = outcome.keep_alive and client.transport is None and client.connection.at_rest
            self._back.append((client, outcome))
            queued = self._next(slot)
            if queued is not None:
                slot.begin(READ, complete=True)
                path = self._path_of(queued[1])
            if not (self._rung or (at_rest and self._no_hurry(client, queued))):
                self._rung = True
                self._connections.ring()

    def _no_hurry(self, client: Client, queued: Item | None) -> bool:
        """Whether it is soon enough to take the connection back when something happens anyhow.

        Asked after the connection was put back and the slot freed, as the leader looks after it has noted
        what it saw: of the two, at least one sees the other's.
        """
        if client.again or not self._connections.room or self._child.ending():
            return False
        # The length of the queue is the leader's to tell: that it has ended, or has one that nobody took.
        return bool(self._ready) == (queued is not None)

    def _next(self, slot: Slot) -> Item | None:
        """A request that waits for a slot. Without one this slot is free."""
        if not self._free:
            try:
                return self._ready.popleft()
            except IndexError:
                pass
        slot.release()
        self._free.append(slot)
        return None

    # -- the leader

    def _lead(self) -> None:
        """Run the loop until the lead is lost or all is over."""
        connections, ready, free = self._connections, self._ready, self._free
        self._leader = threading.get_native_id()
        while not self._over:
            idle = len(free)
            connections.gate(idle, self._threads)
            if not idle and free:
                continue  # freed by a slot that may still have seen the gate open
            if ready and not idle:
                connections.relieve()
            else:
                connections.full = False
            connections.turn(idle, wait=not (connections.news or (ready and free)))
            while self._back:
                connections.settle(*self._back.popleft())
            if connections.news:
                self._take_news()
            while ready and free:
                if not self._dispatch(free.pop()):
                    return
            connections.report(len(ready))

    def _take_news(self) -> None:
        """Somebody rang."""
        self._connections.news = False
        self._rung = False
        while self._back:  # what was put back after the bell was heard rings no more
            self._connections.settle(*self._back.popleft())
        self._resize()
        if self._child.ending() and self._connections.have_ended():
            self._over = True
            self._stir.set()

    def _dispatch(self, slot: Slot) -> bool:
        """The oldest request that is ready; false when the lead is lost."""
        try:
            client, request = item = self._ready.popleft()
        except IndexError:  # a slot that had become free took it
            self._free.append(slot)
            return True
        slot.begin(READ, complete=True)
        path = self._path_of(request)
        connection = client.connection
        # A body that has not arrived is awaited from the client, whatever the path does with it.
        arrived = connection.body_done or connection.body_whole
        makes_room = path.heavy and slot.mark < self._light_until
        if (path.waits and not path.due()) or makes_room or not arrived:
            if self._ready:
                self._work.put((item, slot, path))
                return True
            # Nobody else waits: this request need not wait for the waking of a thread either.
            self._work.put(_Order.LEAD)
            self._serve(item, slot, path)
            return False
        return self._answer_alone(client, request, slot, path)

    def _answer_alone(self, client: Client, request: Request | ProtocolError, slot: Slot, path: Path) -> bool:
        """Answer while everybody waits; false when the lead is lost by it."""
        measured = path.measured
        robbed = worked = 0.0
        if measured:
            robbed, worked = _robbed(), time.thread_time()
        began = slot.mark
        self._path = path
        self._calls += 1
        self._alone.append(slot)
        if self._calm:
            self._calm = False
            self._stir.set()
        outcome = self._answer(client, request, slot)
        took = slot.mark - began
        try:
            self._alone.remove(slot)  # while the slot is still ours: the next leader's entry is another
        except ValueError:
            leads = False
        else:
            leads = True
        slot.release()
        self._free.append(slot)
        if not leads:  # this connection goes back like any other
            self._back.append((client, outcome))
            self._connections.ring()
            return False
        if self._light_until >= 0 and took < ODD:
            self._light_until = slot.mark + _NEAR
        if measured:
            path.judge(took, time.thread_time() - worked, _robbed() - robbed)
        elif took > ODD:
            path.measured = True
        self._connections.settle(client, outcome)
        return True

    def _resize(self) -> None:
        wanted, free = self._child.live.threads, self._free
        while self._threads < wanted and self._unused:
            slot = self._unused.pop()
            slot.release(STARTING)
            try:
                self._start()
            except RuntimeError:  # the system has no more threads: go on with those there are
                slot.release(DEAD)
                self._unused.append(slot)
                break
            slot.release()
            free.insert(0, slot)
            self._threads += 1
        while self._threads > wanted and free:
            slot = free.pop(0)
            slot.release(DEAD)
            self._unused.append(slot)
            self._work.put(_Order.LEAVE)
            self._threads -= 1

    # -- requests

    def _path_of(self, request: Request | ProtocolError) -> Path:
        if isinstance(request, ProtocolError):
            return self._refusals
        return self._paths.find(request.brief)

    def _answer(self, client: Client, request: Request | ProtocolError, slot: Slot) -> Outcome:
        if not self._free:
            self._child.alarm_if_full()
        if isinstance(request, ProtocolError):
            return Outcome(False, request.status, refuse(self._child, client, request, slot))
        try:
            return serve_slot(self._child, client, request, slot)
        except Exception:
            say(traceback.format_exc())  # one connection's fault is not the process's end
            return Outcome(False, 500, 0, abort=True)


def _robbed() -> float:
    """Seconds this thread has waited for a CPU so far (proc(5), schedstat; 0 where the kernel keeps none)."""
    try:
        with open("/proc/thread-self/schedstat", "rb") as file:
            return int(file.read().split()[1]) * 1e-9
    except (OSError, IndexError):
        return 0.0


def _sleeps(thread: int) -> bool:
    """Whether a thread of this process waits for something (proc(5): S or D)."""
    try:
        with open(f"/proc/self/task/{thread}/stat", "rb") as file:
            return file.read().rpartition(b")")[2][1:2] in (b"S", b"D")
    except OSError:
        return False
