"""Listening sockets: owned by the supervisor for its whole life, inherited by every child.

Prefork and worker share one socket an address. Event has one a *seat* (a place a process can have), all bound
at start with SO_REUSEPORT and each listening from the moment its seat is first used: a child forked earlier
then already holds it and can serve it when the seat is empty. A listener that were closed with its child
would reset every connection in its queue. Unix sockets know no SO_REUSEPORT: all processes share one.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mpm_worker import unixqueue
from mpm_worker.passing import Inboxes

if TYPE_CHECKING:
    from mpm_worker.tls import Certificates

_TCP_INFO_SIZE = 32
_UNACKED = struct.Struct("=24xII")  # struct tcp_info: tcpi_unacked, tcpi_sacked (of a listener: depth, limit)
_SO_MEMINFO, _DROPS = 55, 8  # struct sk_meminfo: SK_MEMINFO_DROPS
_SO_BINDTOIFINDEX, _NOWHERE = 62, 0x7FFFFFFF


@dataclass(frozen=True, slots=True)
class Backlog:
    """Connections waiting, the most that can, and those lost because there was no room."""

    depth: int = 0
    limit: int = 0
    overflows: int = 0


@dataclass(eq=False, slots=True)
class Listener:
    """One address: its sockets by seat. One that is `shared` was handed down and belongs to someone else."""

    sockets: list[socket.socket]
    shared: bool = False
    tls: bool = False
    path: str = ""
    """Of a Unix socket that was made here."""
    _made: tuple[int, int] = field(default=(0, 0), init=False)
    _name: str = field(default="", init=False)
    environ: dict[str, str] = field(default_factory=dict, init=False)
    """What an application must know of where its request came in (PEP 3333)."""

    def __post_init__(self) -> None:
        self._name = shown(self.sockets[0])  # asked for after they are closed, too
        host, _, port = ("localhost", "", "80") if self.unix else self._name.rpartition(":")
        self.environ |= {"SERVER_NAME": host.strip("[]"), "SERVER_PORT": port}
        self.environ |= (
            {"wsgi.url_scheme": "https", "HTTPS": "on"} if self.tls else {"wsgi.url_scheme": "http"}
        )
        if self.path:
            self._made = _identity(self.path)

    @property
    def address(self) -> str:
        """HOST:PORT, or unix:PATH."""
        return self._name

    @property
    def unix(self) -> bool:
        return self._name.startswith("unix:")

    @property
    def url(self) -> str:
        if self.unix:
            return self._name
        return f"{'https' if self.tls else 'http'}://{self._name}"

    def seat(self, seat: int) -> socket.socket:
        return self.sockets[seat % len(self.sockets)]

    def shut_the_door(self) -> bool:
        """Let nobody new in, but whose handshake has begun; whether that was possible."""
        if self.path:
            self.unlink()
            return True
        for sock in self.sockets:
            try:
                # It then matches packets of a network device that does not exist: a SYN is refused, who has
                # been answered comes in. Needs no privilege; kernels before 5.7 keep it for root.
                sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX, _NOWHERE)
            except OSError:
                sock.listen(0)  # the next best: a queue of length 0, which takes one
                return False
        return True

    def unlink(self) -> None:
        """Remove the file of a Unix socket, unless another server has put its own there since."""
        if self.path and self._made == _identity(self.path):
            try:
                os.unlink(self.path)
            except OSError:
                pass  # a folder that the user we became may not write; the next start finds it stale


class Listeners:
    """All addresses of one port of the worker (requests, or admin)."""

    def __init__(self, listeners: list[Listener], backlog: int) -> None:
        self.all, self._backlog = listeners, backlog
        self._seats = max(len(listener.sockets) for listener in listeners)
        self.inboxes = Inboxes(self._seats) if self._seats > 1 else None
        self._listening: set[int] = set()
        self._open: list[socket.socket] = []
        """Sockets that listen, handed down ones included."""
        self._origins = {sock.fileno(): one for one in listeners for sock in one.sockets}
        self._lost = 0
        """Connections lost, as last read."""
        self.certificates: Certificates | None = None
        """What those that speak TLS show."""
        for listener in listeners:
            if listener.shared:
                self._open += listener.sockets
        if all(listener.shared for listener in listeners):
            self._listening = {0}

    @property
    def address(self) -> str:
        """Of the first."""
        return self.all[0].address

    @property
    def urls(self) -> str:
        return ", ".join(listener.url for listener in self.all)

    @property
    def shared(self) -> bool:
        """Whether all of them are someone else's too."""
        return all(listener.shared for listener in self.all)

    def origin(self, sock: socket.socket) -> Listener:
        """The address that one of the sockets is of."""
        return self._origins[sock.fileno()]

    def seat(self, seat: int) -> list[socket.socket]:
        """The sockets of a seat, one an address."""
        return [listener.seat(seat) for listener in self.all]

    def longest(self, sockets: list[socket.socket]) -> list[socket.socket]:
        """Of each address that some of them are of, the one with the longest queue.

        Rejected: the longest of all. Who comes to another address would wait for the end of a flood at one.
        """
        seats: dict[Listener, list[socket.socket]] = {}
        for sock in sockets:
            seats.setdefault(self.origin(sock), []).append(sock)
        return [longest(group) for group in seats.values()]

    def listen(self, seat: int) -> None:
        """Let connections arrive at a seat. Nothing ever undoes it: siblings serve an empty seat."""
        self._listening.add(seat % self._seats)
        for sock in self.seat(seat):
            if sock not in self._open:
                sock.listen(self._backlog)
                self._open.append(sock)

    def listening(self) -> list[int]:
        return sorted(self._listening)

    def backlog(self) -> Backlog:
        """The sum over all sockets, each read once."""
        waiting = limit = 0
        for sock in self._open:
            here, room = _queue(sock)
            waiting, limit = waiting + here, limit + room
        if self._open:
            self._lost = sum(_drops(sock) for sock in self._open)
        return Backlog(waiting, limit, self._lost)

    def own_depth(self) -> int:
        """Connections that wait where nobody but us would take them."""
        own = [sock for listener in self.all if not listener.shared for sock in listener.sockets]
        return sum(_depth(sock) for sock in own if sock in self._open)

    def close(self) -> None:
        """In this process. Once all have, who comes late is refused at once and can go elsewhere."""
        self._listening.clear()
        self._open.clear()
        for listener in self.all:
            for sock in listener.sockets:
                sock.close()
        if self.inboxes is not None:
            self.inboxes.close()

    def shut_the_door(self) -> bool:
        """Refuse who is new: once the queue is empty, the sockets can be closed without losing anyone.

        close(2) resets what is in the queue, and there is no call to stop the queue from growing. Rejected: a
        socket filter that drops SYNs (some kernels keep it for root, and a client whose SYN is dropped waits
        a second to hear what a refusal says at once). A listener that others share stays as it is.

        :return: whether nobody comes in any more
        """
        shut = [listener.shut_the_door() for listener in self.all if not listener.shared]
        return bool(shut) and all(shut)

    def unlink(self) -> None:
        """Remove the files of Unix sockets."""
        for listener in self.all:
            listener.unlink()


def shown(sock: socket.socket) -> str:
    """HOST:PORT, brackets around IPv6; unix:PATH."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name if isinstance(name, str) else '@' + name[1:].decode('latin-1')}"
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _identity(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0)
    return (found.st_dev, found.st_ino) if stat.S_ISSOCK(found.st_mode) else (0, 0)


def longest(listeners: list[socket.socket]) -> socket.socket:
    """The one with the longest queue.

    SO_REUSEPORT deals connections out in equal parts however long the queues are. Emptied in equal parts too,
    they drift apart until one holds nearly all, and who is in it waits twice as long as the mean.
    """
    return max(listeners, key=_depth) if len(listeners) > 1 else listeners[0]


def _depth(sock: socket.socket) -> int:
    """Connections that wait to be accepted."""
    return _queue(sock)[0]


def _queue(sock: socket.socket) -> tuple[int, int]:
    """Connections that wait, and the most that can."""
    if sock.family == socket.AF_UNIX:
        return unixqueue.depth(sock)
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
    waiting, limit = _UNACKED.unpack(info)
    return waiting, limit


def _drops(sock: socket.socket) -> int:
    """Counted for this socket alone; ListenOverflows would be of the whole network namespace."""
    if sock.family == socket.AF_UNIX:
        return 0  # who finds the queue full waits in connect(2)
    info = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36)
    return int(struct.unpack_from("=I", info, _DROPS * 4)[0]) if len(info) >= 36 else 0
