"""Listening sockets: owned by the supervisor for its whole life, inherited by every child.

Prefork and worker share one. Event has one a *seat* (a place a process can have), all bound at start with
SO_REUSEPORT and each listening from the moment its seat is first used: a child forked earlier then already
holds it and can serve it when the seat is empty. A listener that were closed with its child would reset
every connection in its queue.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
from dataclasses import dataclass

_TCP_INFO_SIZE = 32
_UNACKED = struct.Struct("=24xII")  # struct tcp_info: tcpi_unacked, tcpi_sacked (of a listener: depth, limit)
_SO_MEMINFO, _DROPS = 55, 8  # struct sk_meminfo: SK_MEMINFO_DROPS


class ListenError(Exception):
    """An address that cannot be listened on."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Connections waiting, the most that can, and those lost because there was no room."""

    depth: int = 0
    limit: int = 0
    overflows: int = 0


class Listeners:
    """The sockets of one address, by seat. `shared` ones are handed down and belong to someone else."""

    def __init__(self, sockets: list[socket.socket], backlog: int, *, shared: bool) -> None:
        self.sockets, self._backlog, self.shared = sockets, backlog, shared
        self._listening: set[int] = {0} if shared else set()
        self._address = shown(sockets[0])
        self._lost = 0
        """Connections lost, as last read."""

    @property
    def address(self) -> str:
        return self._address

    def seat(self, seat: int) -> socket.socket:
        """The socket of a seat; with one socket for all it is that one."""
        return self.sockets[seat % len(self.sockets)]

    def listen(self, seat: int) -> None:
        """Let connections arrive at a seat. Nothing ever undoes it: siblings serve an empty seat."""
        index = seat % len(self.sockets)
        if index not in self._listening:
            self.sockets[index].listen(self._backlog)
            self._listening.add(index)

    def depth(self, seat: int) -> int:
        index = seat % len(self.sockets)
        return _depth(self.sockets[index])[0] if index in self._listening else 0

    def listening(self) -> list[int]:
        return sorted(self._listening)

    def backlog(self) -> Backlog:
        """The sum over all sockets, each read once."""
        depth = limit = 0
        for index in self._listening:
            waiting, room = _depth(self.sockets[index])
            depth, limit = depth + waiting, limit + room
        if self._listening:
            self._lost = sum(_drops(self.sockets[index]) for index in self._listening)
        return Backlog(depth, limit, self._lost)

    def close(self) -> None:
        """In this process. Once all have, who comes late is refused at once and can go elsewhere."""
        self._listening.clear()
        for sock in self.sockets:
            sock.close()

    def shut_the_door(self) -> bool:
        """Drop new SYNs, so that after the queue was emptied the socket can be closed without losing anyone.

        close(2) resets what is in the queue, and there is no call to stop the queue from growing: a filter
        that lets everything but a SYN through is one. The client's SYN is repeated a second later and
        meets a closed port or another pod. A listener that others share stays as it is.

        :return: whether nobody comes in any more
        """
        if self.shared:
            return False
        for sock in self.sockets:
            try:
                _attach(sock, _DROP_SYN)
            except OSError:
                # Some kernels keep filters for root. The next best: a queue of length 0, which takes one.
                sock.listen(0)
                return False
        return True


def shown(sock: socket.socket) -> str:
    """HOST:PORT, brackets around IPv6."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _depth(sock: socket.socket) -> tuple[int, int]:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
    depth, limit = _UNACKED.unpack(info)
    return depth, limit


def _drops(sock: socket.socket) -> int:
    """Counted for this socket alone; ListenOverflows would be of the whole network namespace."""
    info = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36)
    return int(struct.unpack_from("=I", info, _DROPS * 4)[0]) if len(info) >= 36 else 0


# Classic BPF over the TCP header: byte 13 holds the flags, 0x02 is SYN.
_DROP_SYN = (
    (0x30, 0, 0, 13),  # ldb [13]
    (0x45, 0, 1, 0x02),  # jset SYN ? next : one further
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # keep all of it
)


def _attach(sock: socket.socket, program: tuple[tuple[int, int, int, int], ...]) -> None:
    code = array.array("B", b"".join(struct.pack("=HBBI", *step) for step in program))
    address, _ = code.buffer_info()
    so_attach_filter = 26
    sock.setsockopt(socket.SOL_SOCKET, so_attach_filter, struct.pack("@HP", len(program), address))


def parse_address(text: str, option: str) -> tuple[str, int]:
    """`HOST:PORT`, `[V6]:PORT` or `:PORT`.

    :raises ListenError: it is none of them
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ListenError(f"{option}: expected HOST:PORT or fd://N, not {text!r}")
    return host.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port)


def open_listeners(text: str, option: str, *, seats: int, backlog: int) -> Listeners:
    """Bind an address, or take the socket that was handed down.

    :param seats: how many sockets; more than one makes a SO_REUSEPORT group
    :raises ListenError: naming the option, the address and what is wrong
    """
    if text.startswith("fd://"):
        return Listeners([_inherited(text, option)], backlog, shared=True)
    host, port = parse_address(text, option)
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # A group member may bind beside a stranger's group; a plain socket tells us that the port is taken.
        probe = _bound(family, address, group=False)
        port = probe.getsockname()[1]
        if seats == 1:
            return Listeners([probe], backlog, shared=False)
        probe.close()
        address = (address[0], port, *address[2:])
        return Listeners([_bound(family, address, group=True) for _ in range(seats)], backlog, shared=False)
    except OSError as error:
        reason = "the port is taken" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise ListenError(f"{option} {text}: {reason}") from None


def _bound(family: int, address: tuple[object, ...], *, group: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if group:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Inherited by every accepted connection: head and body of a response never wait for a delayed ACK.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind(address)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _inherited(text: str, option: str) -> socket.socket:
    try:
        number = int(text.removeprefix("fd://"))
        sock = socket.socket(fileno=number)
    except (ValueError, OverflowError, OSError):
        raise ListenError(f"{option} {text}: there is no socket with that number") from None
    try:
        listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        listening = 0
    if not listening:
        sock.detach()  # it is someone else's
        raise ListenError(f"{option} {text}: that is no listening socket")
    os.set_inheritable(sock.fileno(), False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return sock
