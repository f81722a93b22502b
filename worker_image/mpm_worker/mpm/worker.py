"""The worker model: a thread keeps its connection from accept to close, keep-alive waits included.

All processes share one listener and only a thread that is free accepts, so the kernel's queue is the one
queue of the pod. Inside a process the free threads stand in line for a lock: whoever has it is the leader
and waits for a connection (leader/followers), so a connection wakes one thread, not all.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
import traceback
from typing import TYPE_CHECKING

from mpm_worker.compiled import Waiter
from mpm_worker.http import ProtocolError
from mpm_worker.say import say
from mpm_worker.scoreboard import CLOSING, DEAD, KEEPALIVE, READ
from mpm_worker.serving import refuse, serve_slot

if TYPE_CHECKING:
    from mpm_worker.child import Child
    from mpm_worker.client import Client
    from mpm_worker.http import Request
    from mpm_worker.scoreboard import Slot

_SLICE = 1.0
"""Longest sleep in seconds: the net under a wake-up that went to a process which died of it."""
_LINGER = 2.0
"""Seconds a client that may still be sending is awaited (httpd's SECONDS_TO_LINGER)."""
_PIECE = 65536
_PAUSE = 0.1
"""Seconds without accepting after the process ran out of descriptors."""


class Worker:
    """The threads of one process."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._doors: list[socket.socket] = []
        self._first = 0
        """Which listener is tried first: the one after that of the last client."""
        self._leader = threading.Lock()
        self._count = threading.Lock()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._bell, select.EPOLLIN)
        self._changed = threading.Event()
        self._free: list[int] = []
        self._alive = 0

    def wake(self) -> None:
        """The scoreboard has something new: settings, or the order to end."""
        self._changed.set()
        os.eventfd_write(self._bell, 1)
        # The leader closes the listener once it saw nobody wait; without a leader there is nothing to see.
        if self._child.closing() and self._leader.acquire(blocking=False):
            self._child.listeners.close()
            self._leader.release()

    def run(self) -> None:
        """Keep as many threads as are asked for, until the end was ordered and all have gone."""
        threads = self._child.board.threads
        self._free = list(range(threads))[::-1]
        self._grow()
        self._child.serving()
        while not (self._child.ending() and self._alive == 0):
            self._changed.clear()
            self._grow()
            self._changed.wait(_SLICE)

    def _grow(self) -> None:
        # A thread that leaves is no longer counted a moment before its place is free again.
        while self._alive < self._child.live.threads and self._free and not self._child.ending():
            with self._count:
                index = self._free.pop()
                self._alive += 1
            slot = self._child.board.slot(self._child.row, index)
            slot.release()  # here and not in the thread: who hears that we serve shall see every slot
            thread = threading.Thread(target=self._thread, args=(index,), name=f"slot-{index}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system has no more threads: go on with those there are
                slot.release(DEAD)
                with self._count:
                    self._free.append(index)
                    self._alive -= 1
                return

    def _thread(self, index: int) -> None:
        slot = self._child.board.slot(self._child.row, index)
        self.work(slot)
        slot.release(DEAD)
        self._free.append(index)
        self._changed.set()

    def _leave(self) -> bool:
        """Asked by the leader: whether it is one thread too many. Then it is no longer counted."""
        with self._count:
            surplus = self._alive > self._child.live.threads or self._child.ending()
            self._alive -= surplus
        if self._child.closing():
            self._child.listeners.close()
        return surplus

    def work(self, slot: Slot) -> None:
        """One slot's life: accept, converse, again."""
        while True:
            slot.release()
            client = self._next(slot)
            if client is None:
                return
            self._child.alarm_if_full()
            try:
                converse(self._child, client, slot)
            except OSError:
                pass  # the client went away; nothing is owed to it
            except Exception:
                say(traceback.format_exc())  # one connection's fault is not the thread's end
            finally:
                client.sock.close()

    def _next(self, slot: Slot) -> Client | None:
        with self._leader:
            if self._leave():
                return None
            while True:
                # After a wake-up first accept, then look whether to leave: nobody else was woken.
                doors = self._open_doors()
                for at in range(self._first, self._first + len(doors)):
                    client = self._accept(doors[at % len(doors)], slot)
                    if client is not None:
                        self._first = (at + 1) % len(doors)
                        return client
                if self._leave():
                    return None
                for number, _ in self._epoll.poll(_SLICE):
                    if number == self._bell:
                        _quiet(self._bell)

    def _accept(self, listener: socket.socket, slot: Slot) -> Client | None:
        while True:
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return None
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._child.cannot_accept(error)
                time.sleep(_PAUSE)
                return None
            slot.begin(READ)
            return self._child.welcome(sock, address, listener)

    def _open_doors(self) -> list[socket.socket]:
        """Watch the listeners that are to be watched now; those that were until now."""
        before, self._doors = self._doors, self._child.doors(self._child.seat)
        if before != self._doors:
            for listener in before:
                self._epoll.unregister(listener)
            for listener in self._doors:
                # The wake-up goes to one process at a time; whoever takes it always tries to accept.
                self._epoll.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        return before


def _quiet(bell: int) -> None:
    try:
        os.eventfd_read(bell)
    except BlockingIOError:
        pass


def converse(child: Child, client: Client, slot: Slot) -> None:
    """All requests of one connection, in the thread that accepted it."""
    waiter = Waiter(client.descriptor)
    while (request := _await_request(child, client, slot, waiter)) is not None:
        outcome = serve_slot(child, client, request, slot)
        if not outcome.keep_alive:
            if not outcome.abort:
                # What the client has sent since lies in the kernel: a plain close would answer it by a reset
                # that takes the end of the response with it.
                linger(client.sock, slot)
            return
        client.since = time.monotonic()
        slot.state(KEEPALIVE)


def _await_request(child: Child, client: Client, slot: Slot, waiter: Waiter) -> Request | None:
    """The next request of the connection; None when it is to be closed."""
    connection = client.connection
    started = 0.0  # when the first byte of a head was seen
    last = False  # what arrived this moment is still read before time is over
    if connection.at_rest:
        # Most have their next request here within the first slice: for them no clock is read.
        _receive(client, waiter, min(_SLICE, child.live.keep_alive_timeout))
    while True:
        try:
            request = connection.next_request()
            if request is not None:
                return request
            if connection.eof:
                return None
            now = time.monotonic()
            idle = connection.idle()
            if idle:
                left = client.since + child.patience(client) - now
            else:
                slot.state(READ)
                started = started or now
                left = started + child.live.timeout - now
            if left <= 0 and last:
                if idle:
                    return None
                raise connection.refuse(408, "the request head did not arrive in time")
            last = left <= 0
            _receive(client, waiter, max(0.0, min(left, _SLICE)))
        except ProtocolError as error:
            refuse(child, client, error, slot)
            linger(client.sock, slot)
            return None


def _receive(client: Client, waiter: Waiter, seconds: float) -> None:
    """Take what arrives within that time, if anything does."""
    transport = client.transport
    try:
        data = waiter.receive(seconds, _PIECE) if transport is None else transport.read()
    except BlockingIOError:
        if transport is not None:  # read first, since poll(2) does not see what it holds already
            waiter.wait(seconds)
        return
    if data is not None:
        client.connection.receive(data)


def linger(sock: socket.socket, slot: Slot) -> None:
    """Close so that the client can read the response although it is still sending (RFC 9112, 9.6)."""
    slot.state(CLOSING)
    sock.shutdown(socket.SHUT_WR)
    end = time.monotonic() + _LINGER
    sock.settimeout(_LINGER)
    while time.monotonic() < end and sock.recv(65536):
        pass
