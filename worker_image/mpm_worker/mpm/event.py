"""The event model: a loop holds the connections, slots hold requests.

Idle, reading and closing connections cost no slot. One thread runs the loop and never the application; it
gives a request to a slot when its head is complete and takes the connection back after the response. All
state of a connection is changed by the loop alone, so nothing is locked: a slot that is done says so through
a deque and a bell. Descriptors are edge-triggered and registered once; what happens to a connection while a
slot has it is remembered in `again`.

Rejected: all threads on one epoll (16 of them fight for the GIL at every wake-up, p99 30-66 ms).
"""

from __future__ import annotations

import os
import queue
import select
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from mpm_worker.child import GRACE, serve_slot
from mpm_worker.http import ProtocolError
from mpm_worker.scoreboard import DEAD, READ, STARTING, Live, Server
from mpm_worker.wsgi import Outcome, reject

if TYPE_CHECKING:
    from mpm_worker.child import Child, Client
    from mpm_worker.http import Request

_TICK = 1.0
"""Seconds between two looks at the clocks of the connections."""
_LINGER = 2.0
"""Seconds a connection whose end was sent may still bring what nobody reads."""
_MOST_ACCEPTED = 16
"""Connections accepted in one turn, so that a flood of them does not stop the requests of others."""
_PIECE = 65536
_INTEREST = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_ENDED = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Event:
    """Loop and slots of one process."""

    def __init__(self, child: Child) -> None:
        self._child, self._record = child, child.record
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._bell, select.EPOLLIN)
        self._listeners: dict[int, socket.socket] = {}
        self._clients: dict[int, Client] = {}
        # By state; in the order in which they entered it, so the oldest come first.
        self._idle: dict[Client, None] = {}
        self._reading: dict[Client, None] = {}
        self._closing: dict[Client, None] = {}
        self._work: queue.SimpleQueue[tuple[Client, Request | ProtocolError] | None] = queue.SimpleQueue()
        self._back: deque[tuple[Client, Outcome]] = deque()
        self._left: deque[int] = deque()
        self._free = list(range(child.board.threads))[::-1]
        self._threads = 0
        self._busy = 0
        self._pause = 0.0
        self._rung = False
        self._gates: tuple[int, ...] = ()

    def wake(self) -> None:
        """The scoreboard has something new, or a slot is done."""
        os.eventfd_write(self._bell, 1)

    # -- the loop

    def run(self) -> None:
        due = 0.0
        while not self._over():
            self._resize()
            self._gate()
            for number, mask in self._epoll.poll(max(0.0, due - time.monotonic())):
                self._turn(number, mask)
            self._take_back()
            if time.monotonic() >= due:
                due = self._tick()
            self._report()
        for _ in range(self._threads):
            self._work.put(None)

    def _over(self) -> bool:
        return self._child.ending() and not self._clients

    def _turn(self, number: int, mask: int) -> None:
        if number == self._bell:
            try:
                os.eventfd_read(self._bell)
            except BlockingIOError:
                pass
        elif number in self._listeners:
            self._accept(self._listeners[number])
        elif client := self._clients.get(number):
            client.again = True
            client.ended |= bool(mask & _ENDED)
            if not client.held:
                self._read(client)

    def _take_back(self) -> None:
        self._rung = False
        while self._back:
            client, outcome = self._back.popleft()
            self._busy -= 1
            client.held = False
            client.since = time.monotonic()
            if outcome.abort:
                self._drop(client)
            elif outcome.keep_alive:
                self._advance(client)
            else:
                self._close(client)

    def _report(self) -> None:
        record = self._record
        # Not `_work.qsize()`: a request that an idle slot is about to take does not wait.
        queued = max(0, self._busy - self._threads)
        if queued and not record[Server.QUEUED]:
            self._child.alarm()
        record[Server.QUEUED] = queued
        record[Server.CONNECTIONS] = len(self._clients)
        record[Server.KEEPALIVE] = len(self._idle)
        record[Server.READING] = len(self._reading)
        record[Server.LINGERING] = len(self._closing)

    # -- accepting

    def _gate(self) -> None:
        """Listen while there is a slot for who comes; httpd's limit, but idle connections do not count.

        In httpd they do, and a pod whose clients keep connections open stops accepting with every slot idle.
        """
        child = self._child
        idle = self._threads - self._busy
        active = len(self._clients) - len(self._idle) - len(self._closing)
        room = idle > 0 and active < self._threads + idle * child.live.async_factor
        open_ = room and not child.ending() and (not self._pause or time.monotonic() >= self._pause)
        gates = (open_, self._record[Server.HELP], child.board.live[Live.SEATS])
        if gates == self._gates:
            return
        self._gates = gates
        seats = [child.seat, *range(gates[2] if gates[1] else 0)] if open_ else []
        wanted = {sock.fileno(): sock for sock in map(child.listeners.seat, seats)}
        for number in self._listeners.keys() - wanted.keys():
            self._epoll.unregister(number)
        for number in wanted.keys() - self._listeners.keys():
            # Level-triggered and not exclusive: one who was woken may have no room a moment later.
            self._epoll.register(number, select.EPOLLIN)
        self._listeners = wanted
        if self._record[Server.NOT_ACCEPTING] == room:
            self._record[Server.NOT_ACCEPTING] = not room
            if not room:
                self._child.alarm()  # so that a sibling comes to help

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(min(_MOST_ACCEPTED, max(1, self._threads - self._busy))):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                self._pause = time.monotonic() + 0.1  # out of descriptors
                return
            client = self._child.welcome(sock, address)
            self._clients[client.descriptor] = client
            self._reading[client] = None
            self._epoll.register(client.descriptor, _INTEREST)
            client.again = True
            self._read(client)

    # -- one connection

    def _read(self, client: Client) -> None:
        """Take what has arrived, then see what it makes."""
        if client in self._closing:
            self._swallow(client)
            return
        try:
            data = os.read(client.descriptor, _PIECE)
        except BlockingIOError:
            client.again = False
        except OSError:
            self._drop(client)
            return
        else:
            client.connection.receive(data)
            # A short read has emptied the socket, unless its end stands behind it.
            client.again = bool(data) and (len(data) == _PIECE or client.ended)
        self._advance(client)

    def _advance(self, client: Client) -> None:
        """Give a complete request to a slot, or wait in the state that fits."""
        try:
            request = client.connection.next_request()
        except ProtocolError as error:
            self._give(client, error)
            return
        if request is not None:
            self._give(client, request)
        elif client.again:
            self._read(client)
        elif client.connection.eof:
            self._close(client)
        elif client.served and client.connection.idle():
            self._idle.setdefault(client)
            self._reading.pop(client, None)
        else:
            if client not in self._reading:
                client.since = time.monotonic()
            self._idle.pop(client, None)
            self._reading.setdefault(client)

    def _give(self, client: Client, item: Request | ProtocolError) -> None:
        self._idle.pop(client, None)
        self._reading.pop(client, None)
        client.held = True
        self._busy += 1
        self._work.put((client, item))

    def _close(self, client: Client) -> None:
        """Say that this is the end and wait for the client's, so that it can read the last response."""
        self._idle.pop(client, None)
        self._reading.pop(client, None)
        try:
            client.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(client)
            return
        client.since = time.monotonic()
        self._closing[client] = None
        client.again = True
        self._swallow(client)

    def _swallow(self, client: Client) -> None:
        try:
            for _ in range(16):
                if not os.read(client.descriptor, _PIECE):
                    self._drop(client)
                    return
        except BlockingIOError:
            pass
        except OSError:
            self._drop(client)

    def _drop(self, client: Client) -> None:
        for state in (self._idle, self._reading, self._closing):
            state.pop(client, None)
        self._clients.pop(client.descriptor, None)
        client.sock.close()

    # -- clocks

    def _tick(self) -> float:
        """End what has lasted too long; when to look again."""
        now = time.monotonic()
        child = self._child
        patience = child.live.keep_alive_timeout
        youngest = min(GRACE, patience) if child.letting_go() else patience
        for client in list(self._idle):
            if now - client.since < youngest:
                break
            if now - client.since >= patience or child.let_go(client, now):
                client.again = True
                self._read(client)  # a request that arrived this moment is still served
                if client in self._idle:
                    self._close(client)
        for client in list(self._reading):
            if client.connection.idle():
                if now - client.since >= child.patience(client):
                    self._close(client)
            elif now - client.since >= child.live.timeout:
                self._give(client, client.connection.refuse(408, "the request head did not arrive in time"))
        for client in list(self._closing):
            if now - client.since >= _LINGER:
                self._drop(client)
        return now + min(_TICK, max(0.05, child.live.keep_alive_timeout / 4))

    # -- slots

    def _resize(self) -> None:
        while self._left:
            self._free.append(self._left.popleft())
        wanted = self._child.live.threads
        while self._threads < wanted and self._free:
            index = self._free.pop()
            self._child.board.slot(self._child.row, index).state(STARTING)
            threading.Thread(target=self._slot, args=(index,), name=f"slot-{index}", daemon=True).start()
            self._threads += 1
        while self._threads > wanted:
            self._work.put(None)
            self._threads -= 1

    def _slot(self, index: int) -> None:
        child = self._child
        slot = child.board.slot(child.row, index)
        slot.release()
        while (item := self._work.get()) is not None:
            client, request = item
            slot.begin(READ)
            child.alarm_if_full()
            if isinstance(request, ProtocolError):
                outcome = Outcome(False, request.status, reject(client.sock, request))
                slot.done(outcome.sent)
                child.logged(client, None, request.status, outcome.sent)
            else:
                outcome = serve_slot(child, client, request, slot)
            slot.release()
            self._back.append((client, outcome))
            if not self._rung:
                self._rung = True
                self.wake()
        slot.release(DEAD)
        self._left.append(index)
        self.wake()
