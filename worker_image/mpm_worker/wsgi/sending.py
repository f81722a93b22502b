"""Bytes and files into a socket with a timeout; all raise OSError when the client takes none."""

from __future__ import annotations

import os
import select
import socket
from typing import Final

from mpm_worker import compiled

_PIECE: Final = 1 << 20


def is_tls(sock: socket.socket) -> bool:
    """Whether bytes must go through the socket object: known by a method, so as not to import `ssl`."""
    return hasattr(sock, "pending")


if compiled.module is not None:
    _transmit = compiled.module.transmit
else:

    def _transmit(descriptor: int, data: bytes) -> int:
        """Bytes that the socket took now; 0 = it has no room."""
        try:
            return os.write(descriptor, data)
        except BlockingIOError:
            return 0


def send_some(sock: socket.socket, data: bytes) -> int:
    """As `sock.send`, which with a timeout begins with a poll(2): here only when there was no room."""
    if type(sock) is not socket.socket:
        return sock.send(data)
    return _transmit(sock.fileno(), data) or sock.send(data)


def send_both(sock: socket.socket, head: bytes, block: bytes) -> None:
    """Two pieces as one, without joining them."""
    count = 0
    if not is_tls(sock):
        try:
            count = os.writev(sock.fileno(), (head, block))
        except BlockingIOError:
            pass  # no room at all: the wait is in what follows
    if count < len(head):
        send_rest(sock, head, count)
        count = len(head)
    send_rest(sock, block, count - len(head))


def send_rest(sock: socket.socket, data: bytes, count: int) -> None:
    """`data` from byte `count` on.

    Not sendall: there the timeout is one for all bytes, and a slow client may take long for many.
    """
    rest = memoryview(data)
    while count < len(data):
        count += sock.send(rest[count:])


def send_file(sock: socket.socket, descriptor: int, offset: int, count: int, timeout: float) -> int:
    """Bytes sent by sendfile(2), fewer than `count` when the file ends before."""
    end = offset + count
    start = offset
    while offset < end:
        try:
            sent = os.sendfile(sock.fileno(), descriptor, offset, min(end - offset, _PIECE))
        except BlockingIOError:
            _wait_for_room(sock, timeout)
            continue
        if not sent:
            break
        offset += sent
    return offset - start


def _wait_for_room(sock: socket.socket, timeout: float) -> None:
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    if not poll.poll(timeout * 1000):
        raise TimeoutError("the client takes no bytes")
