"""The connections of the event model: accepted, read until a request is complete, kept, closed.

One thread at a time is inside this object, whichever it is (`event` decides): nothing here is locked.
Descriptors are edge-triggered and registered once; what happens to a connection while a slot has it is
remembered in `again`.
"""

from __future__ import annotations

import os
import select
import socket
import time
import traceback
from collections import deque
from typing import TYPE_CHECKING

from mpm_worker.compiled import poll, receive
from mpm_worker.http import ProtocolError
from mpm_worker.mpm import uploads
from mpm_worker.passing import Siblings
from mpm_worker.say import say
from mpm_worker.scoreboard import Live, Server

if TYPE_CHECKING:
    from mpm_worker.child import Child
    from mpm_worker.client import Client
    from mpm_worker.http import Request
    from mpm_worker.wsgi import Outcome

_TICK = 1.0
"""Seconds between two looks at the clocks of the connections."""
_LINGER = 2.0
"""Seconds a connection whose end was sent may still bring what nobody reads."""
_PAUSE = 0.1
"""Seconds without accepting after the process ran out of descriptors."""
_MOST_ACCEPTED = 16
"""Connections accepted in one turn, so that a flood of them does not stop the requests of others."""
_MOST_EVENTS = 128
_ASK_AGAIN = 0.003
"""Seconds that requests wait before siblings are looked at, and between two looks: a slot of ours is often
free a moment after its client has the response."""
_PIECE = 131072
_SPARE_MEMORY = 1 << 20
"""Bytes of a block that is freed once at start: from then on the C library keeps up to twice as much for the
next bodies (mallopt(3): M_TRIM_THRESHOLD follows it). Else chance decides whether 100 KiB go
back to the kernel after each body, page by page: up to 1.6 times the CPU for an upload of that size."""
_INTEREST = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_ENDED = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Connections:
    """All connections of one process. Complete requests go to the end of `ready`, refused ones too."""

    def __init__(self, child: Child) -> None:
        self.news = True
        """Whether somebody rang or a connection ended; who leads resets it."""
        self.ready: deque[tuple[Client, Request | ProtocolError]] = deque()
        self._child, self._record = child, child.record
        bytes(_SPARE_MEMORY)
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._bell, select.EPOLLIN)
        self._listeners: dict[int, socket.socket] = {}
        self._clients: dict[int, Client] = {}
        # By state; in the order in which they entered it, so the oldest come first.
        self._idle: dict[Client, None] = {}
        self._reading: dict[Client, None] = {}
        self._closing: dict[Client, None] = {}
        self._more: dict[Client, None] = {}
        """Uploads that have sent more than one turn reads."""
        self._spare = 0
        """Slots that are idle beyond half of all: so many may wait for clients that pause in a body."""
        self._spooling = child.environment.spooling
        self._turns = 0
        """Turns that accepted, so that each address is the first one in some."""
        self._gates: tuple[int, ...] = ()
        self._told: tuple[int, ...] = ()
        self.room = False
        """Whether there is a slot for who comes, so that listeners are watched."""
        self._factor = 1.0
        self._look = True
        """Whether what the supervisor writes may have changed."""
        self._paused_until = 0.0
        self._siblings = Siblings(child.board, child.row)
        self._inboxes = child.inboxes
        """None: connections of this server are never passed on."""
        self._listens_inside = False
        """Whether the loop watches the inbox of this seat."""
        self._successor = False
        """Whether the inbox of this seat is for the process that comes after this one."""
        self.full = False
        """Whether requests wait since `_ask_after` was set; who leads resets it."""
        self._ask_after = 0.0
        self._timed = child.log is not None and child.log.wants_more
        """Whether the log tells how long a request waited for a slot."""
        self._tick_due = 0.0

    def ring(self) -> None:
        """End the wait of `turn`. The only call that any thread may make."""
        os.eventfd_write(self._bell, 1)

    def turn(self, idle_slots: int, *, wait: bool) -> None:
        """Wait for something to happen (or only look), and do what it asks for."""
        left = self._tick_due - time.monotonic()
        if left <= 0:
            self._tick()
            left = 0.0
        if self.ready and self._inboxes is not None:
            left = min(left, _ASK_AGAIN)
        clients = self._clients
        doors: list[socket.socket] = []
        if self._more:
            self._read_more()
        for number, mask in poll(self._epoll, left if wait and not self._more else 0.0, _MOST_EVENTS):
            client = clients.get(number)
            if client is not None:
                client.again = True
                if mask & _ENDED:
                    client.ended = True
                if not client.held:
                    self._read(client)
            elif number == self._bell:
                self._quiet()
                self.news = self._look = True
            elif number in self._listeners:
                doors.append(self._listeners[number])
            else:
                self._take_passed()
        if doors:
            self._accept_by_address(doors, max(1, idle_slots))

    def _read_more(self) -> None:
        """One piece of each upload that had more than one ready."""
        more, self._more = self._more, {}
        for client in more:
            if self._clients.get(client.descriptor) is client and not client.held:
                self._read(client)

    def _quiet(self) -> None:
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            pass

    def report(self, queued: int) -> None:
        """Write what only the loop knows to the scoreboard."""
        now = (queued, len(self._clients), len(self._idle), len(self._reading), len(self._closing))
        if now == self._told:
            return
        self._told = now
        record = self._record
        if queued and not record[Server.QUEUED]:
            self._child.alarm()
        record[Server.QUEUED] = queued
        record[Server.CONNECTIONS] = len(self._clients)
        record[Server.KEEPALIVE] = len(self._idle)
        record[Server.READING] = len(self._reading)
        record[Server.LINGERING] = len(self._closing)

    # -- accepting

    def gate(self, idle: int, threads: int) -> None:
        """Listen while there is a slot for who comes; httpd's limit, but only of who has or wants a slot.

        In httpd idle and reading connections count as well: a pod whose clients keep connections open, or
        send slowly, stops accepting with every slot idle.
        """
        self._spare = idle - (threads + 1) // 2
        active = len(self._clients) - len(self._idle) - len(self._reading) - len(self._closing)
        room = idle > 0 and active < threads + idle * self._factor
        if room is self.room and not self._look and not self._paused_until:
            return
        child = self._child
        self.room, self._look, self._factor = room, False, child.live.async_factor
        if self._paused_until and time.monotonic() >= self._paused_until:
            self._paused_until = 0.0
        if child.ending() and not self._successor:
            # Once it is empty, whoever passes one on to this seat, or follows on it, finds it.
            self._successor = self._take_passed()
            self.news |= self._successor
        self._watch_inbox(not self._successor and not self._paused_until)
        open_ = room and not self._paused_until
        accepting = open_ and not child.ending()
        live = child.board.live
        gates = (accepting, self._record[Server.HELP], live[Live.SEATS], live[Live.PHASE])
        if gates == self._gates:
            return
        self._gates = gates
        seats = [child.seat, *range(gates[2] if gates[1] else 0)] if accepting else []
        wanted = {sock.fileno(): sock for seat in seats for sock in child.doors(seat)}
        for number in self._listeners.keys() - wanted.keys():
            self._epoll.unregister(number)
        for number in wanted.keys() - self._listeners.keys():
            # Level-triggered and not exclusive: one who was woken may have no room a moment later.
            self._epoll.register(number, select.EPOLLIN)
        self._listeners = wanted
        if child.closing():
            child.listeners.close()
        if self._record[Server.NOT_ACCEPTING] == open_:
            self._record[Server.NOT_ACCEPTING] = not open_
            if not open_:
                child.alarm()  # so that a sibling comes to help

    def _accept_by_address(self, doors: list[socket.socket], most: int) -> None:
        """At most so many of all addresses: a flood at one leaves the others their share."""
        queues = doors if len(doors) == 1 else self._child.listeners.longest(doors)
        most = min(_MOST_ACCEPTED, most)
        share = max(1, most // len(queues))
        self._turns += 1
        first = self._turns % len(queues)
        for listener in (queues[first:] + queues[:first])[:most]:
            self._accept(listener, share)

    def _accept(self, listener: socket.socket, most: int) -> None:
        for _ in range(most):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._child.cannot_accept(error)
                self._paused_until = time.monotonic() + _PAUSE  # out of descriptors
                return
            self._begin(self._child.welcome(sock, address, listener))

    def _begin(self, client: Client) -> None:
        self._clients[client.descriptor] = client
        self._reading[client] = None
        self._epoll.register(client.descriptor, _INTEREST)
        client.again = True
        self._read(client)

    # -- passing on

    def relieve(self) -> None:
        """No slot is idle: pass the oldest requests on to siblings that have slots for them."""
        if self._inboxes is None:
            return
        now = time.monotonic()
        if not self.full:
            self.full, self._ask_after = True, now + _ASK_AGAIN
        if now < self._ask_after:
            return
        self._ask_after = now + _ASK_AGAIN  # by then they have taken what they got
        row, slots = self._siblings.idle()
        for _ in range(slots):
            try:
                item = self.ready.popleft()
            except IndexError:  # what is left, slots of ours took that became free
                return
            if not self._pass_on(*item, row):
                self.ready.appendleft(item)
                return

    def _pass_on(self, client: Client, request: Request | ProtocolError, row: int) -> bool:
        """Whether the connection is the sibling's now, with the request still to be read."""
        head = None if isinstance(request, ProtocolError) else client.connection.unread(request)
        inboxes = self._inboxes
        if head is None or inboxes is None or client.transport is not None or client.leaving:
            return False
        seat = self._siblings.seat(row)
        if not inboxes.put(seat, client.sock, client.served, head):
            return False
        self._epoll.unregister(client.descriptor)  # closing is not enough: the sibling holds it open
        self._drop(client)
        if not self._siblings.accepts(row):
            self._take_passed(seat)  # it may have looked into its inbox for the last time before this came
        return True

    def _watch_inbox(self, watch: bool) -> None:
        if self._inboxes is None or watch is self._listens_inside:
            return
        self._listens_inside = watch
        number = self._inboxes.descriptor(self._child.seat)
        if watch:
            self._epoll.register(number, select.EPOLLIN)
        else:
            self._epoll.unregister(number)

    def _take_passed(self, seat: int | None = None) -> bool:
        """Whether nothing is left in the inbox for this process."""
        inboxes = self._inboxes
        if inboxes is None or (seat is None and self._successor):
            return True
        while True:
            try:
                passed = inboxes.take(self._child.seat if seat is None else seat)
            except OSError:
                self._paused_until = time.monotonic() + _PAUSE  # out of descriptors
                return False
            if passed is None:
                return True
            sock, served, head = passed
            try:
                client = self._child.welcome(sock, sock.getpeername(), None)
            except OSError:
                sock.close()  # the client has gone
                continue
            client.served = served
            client.connection.receive(head)
            self._begin(client)

    def have_ended(self) -> bool:
        """Whether no connection is left, for a server that takes no more."""
        return self._take_passed() and not self._clients

    # -- one connection

    def settle(self, client: Client, outcome: Outcome) -> None:
        """A slot has sent the response."""
        client.held = False
        client.since = time.monotonic()
        if client.transport is not None and client.transport.more():
            client.again = True  # bytes wait where epoll does not see them
        if outcome.abort:
            self._drop(client)
        elif not outcome.keep_alive:
            self._close(client)
        elif not client.again and client.connection.at_rest:
            self._idle[client] = None
        else:
            self._advance(client)

    def _read(self, client: Client) -> None:
        """Take what has arrived, then see what it makes."""
        if client in self._closing:
            self._swallow(client)
            return
        try:
            transport = client.transport
            data = receive(client.descriptor, _PIECE) if transport is None else transport.read()
        except BlockingIOError:
            client.again = False
        except OSError:
            self._drop(client)
            return
        else:
            try:
                client.connection.receive(data)
            except Exception:
                self._fault(client)
                return
            # A short read has emptied the socket, unless its end stands behind it.
            if transport is None:
                client.again = bool(data) and (len(data) == _PIECE or client.ended)
            else:
                client.again = bool(data) and transport.more()
        self._advance(client)

    def _advance(self, client: Client) -> None:
        """Hand over a complete request, or wait in the state that fits."""
        connection = client.connection
        try:
            request = client.request or connection.next_request()
            if request is not None and connection.body_left != 0 and self._await_body(client, request):
                return
        except ProtocolError as error:
            self._give(client, error)
            return
        except Exception:
            self._fault(client)
            return
        if request is not None:
            self._give(client, request)
        elif client.again:
            self._read(client)
        elif connection.eof:
            self._close(client)
        elif client.served and connection.idle():
            self._reading.pop(client, None)
            self._idle.setdefault(client)
        elif client not in self._reading:
            self._idle.pop(client, None)
            client.since = time.monotonic()
            self._reading[client] = None

    def _await_body(self, client: Client, request: Request) -> bool:
        """Whether the body is still read here; false = the request shall go to a slot."""
        if client.request is None:
            if not uploads.begin(client, request, self._spooling, len(self._reading)):
                return False
            self._idle.pop(client, None)
            self._reading.pop(client, None)  # to its end: the oldest come first
            self._reading[client] = None
        if uploads.is_whole(client):
            return False
        if client.again and client.spool is None:
            self._read(client)
        elif client.again:
            self._more[client] = None  # so that a fast upload does not hold up all others
        return True

    def _give(self, client: Client, item: Request | ProtocolError) -> None:
        self._idle.pop(client, None)
        self._reading.pop(client, None)
        client.held = True
        if self._timed:
            client.since = time.monotonic()
        if isinstance(item, ProtocolError):
            client.forget_body()
        else:
            client.request = None
        self.ready.append((client, item))

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

    def _fault(self, client: Client) -> None:
        """An error of ours, or no memory: it ends one connection, not the process with all of them."""
        say(traceback.format_exc())
        self._drop(client)

    def _drop(self, client: Client) -> None:
        for state in (self._idle, self._reading, self._closing):
            state.pop(client, None)
        self._clients.pop(client.descriptor, None)
        client.forget_body()
        client.sock.close()
        self.news = True

    # -- clocks

    def _tick(self) -> None:
        """End what has lasted too long."""
        now = time.monotonic()
        child = self._child
        patience = child.live.keep_alive_timeout
        for client in list(self._idle):
            # Never before its time, as httpd does when slots run out: a request under way would be lost.
            if now - client.since < patience:
                break
            client.again = True
            self._read(client)  # a request that arrived this moment is still served
            if client in self._idle:
                self._close(client)
        for client in list(self._reading):
            if client.request is not None:
                item = uploads.overdue(client, now, child.live.timeout, plenty=self._spare > 0)
                if item is not None:
                    self._spare -= 1
                    self._give(client, item)
                continue
            nothing = client.connection.idle()
            if now - client.since < (child.patience(client) if nothing else child.live.timeout):
                continue
            client.again = True
            self._read(client)  # what arrived this moment still counts
            if client not in self._reading or client.request is not None:
                continue
            if client.connection.idle():
                self._close(client)
            elif nothing:
                client.since = now  # its first bytes came just now
            else:
                late = client.connection.refuse(408, "the request head did not arrive in time")
                self._give(client, late)
        for client in list(self._closing):
            if now - client.since >= _LINGER:
                self._drop(client)
        self._tick_due = now + min(_TICK, max(0.05, patience / 4))
