"""Connections that one server of the event model passes on to another.

SO_REUSEPORT deals connections out by chance and for life: of 32 clients that call an application which takes
10 ms, one of two servers with 16 slots may have 19, so that three requests wait while slots idle next door. A
server without an idle slot passes such a connection on, with the head that it has read; a sibling that has
one reads it again. Who is balanced passes nothing.

Each seat has an inbox, a pair of Unix sockets that the supervisor made and every server inherits. So what is
in it outlives the server of the seat, as its listener's queue does.

Rejected: one listener for all (one server then takes most connections: 1,570 against 2,852 requests/s); a
limit of accepts by the siblings' counts (nobody accepts while the emptiest server is stuck).
"""

from __future__ import annotations

import array
import os
import socket
from typing import TYPE_CHECKING

from mpm_worker.scoreboard import READY, Live, Phase, Server

if TYPE_CHECKING:
    from mpm_worker.scoreboard import Scoreboard

MOST = 4096
_NUMBER = array.array("i").itemsize


class Inboxes:
    """One a seat. Made before the first fork."""

    def __init__(self, seats: int) -> None:
        self._pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(seats)]
        for pair in self._pairs:
            for sock in pair:
                sock.setblocking(False)

    def close(self) -> None:
        """In this process."""
        for pair in self._pairs:
            for sock in pair:
                sock.close()

    def descriptor(self, seat: int) -> int:
        """Readable when a connection has come."""
        return self._pairs[seat][0].fileno()

    def descriptors(self) -> list[int]:
        """Of all sockets that are open in this process."""
        return [sock.fileno() for pair in self._pairs for sock in pair if sock.fileno() >= 0]

    def put(self, seat: int, sock: socket.socket, served: int, head: bytes) -> bool:
        """Pass a connection on; false when the inbox is full.

        :param served: requests it has had, for MaxKeepAliveRequests
        :param head: bytes of it that are to be read again, at most MOST
        """
        numbers = array.array("i", [sock.fileno()])
        try:
            self._pairs[seat][1].sendmsg(
                [served.to_bytes(8, "little"), head], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)]
            )
        except OSError:
            return False
        return True

    def take(self, seat: int) -> tuple[socket.socket, int, bytes] | None:
        """A connection that was passed on to the seat, its count of requests, and its bytes.

        :raises OSError: no descriptor is left to hold it; it stays where it is
        """
        # Without one the kernel would hand over the bytes and close the connection.
        os.close(os.dup(self._pairs[seat][0].fileno()))
        try:
            data, ancillary, _, _ = self._pairs[seat][0].recvmsg(8 + MOST, socket.CMSG_SPACE(_NUMBER))
        except BlockingIOError:
            return None
        for _, _, numbers in ancillary:
            number = array.array("i", numbers[:_NUMBER])[0]
            os.set_inheritable(number, False)
            return socket.socket(fileno=number), int.from_bytes(data[:8], "little"), data[8:]
        return None

    def move(self, seat: int, other: int) -> None:
        """Bring what waits in one inbox into another; what that has no room for stays."""
        try:
            while (passed := self.take(seat)) is not None:
                sock, served, head = passed
                with sock:
                    if not self.put(other, sock, served, head):
                        self.put(seat, sock, served, head)
                        return
        except OSError:
            pass  # no descriptor is left to hold it on the way


class Siblings:
    """What the scoreboard says of the other servers."""

    def __init__(self, board: Scoreboard, row: int) -> None:
        self._board, self._row = board, row

    def idle(self) -> tuple[int, int]:
        """Row of the server with the most idle slots beyond its own queue, and how many; 0 = none."""
        slots, row = 0, self._row
        for other in range(self._board.live[Live.ROWS]):
            if other != self._row and self.accepts(other):
                queued = self._board.server(other)[Server.QUEUED]
                idle = self._board.row_letters(other).count(READY) - queued
                slots, row = max((slots, row), (idle, other))
        return row, slots

    def accepts(self, row: int) -> bool:
        """Whether it lives and is not about to end."""
        record = self._board.server(row)
        return bool(
            record[Server.PID]
            and record[Server.UP]
            and not record[Server.RETIRING]
            and not record[Server.NOT_ACCEPTING]
            and self._board.live[Live.PHASE] == Phase.SERVING
        )

    def seat(self, row: int) -> int:
        return self._board.server(row)[Server.SEAT]
