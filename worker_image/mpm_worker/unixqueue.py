"""How many connections wait at a listening Unix socket: asked by netlink (sock_diag(7))."""

from __future__ import annotations

import os
import select
import socket
import struct

_SOCK_DIAG, _BY_FAMILY, _REQUEST = 4, 20, 1
_LISTEN, _SHOW_RQLEN, _RQLEN = 1 << 10, 0x10, 4
_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_ASK = struct.Struct("=BBHIIIII")  # unix_diag_req
_MESSAGE_SIZE = 16  # unix_diag_msg
_ATTRIBUTE = struct.Struct("=HH")


def depth(sock: socket.socket) -> tuple[int, int]:
    """Connections that wait and the most that can; where netlink is closed to us, 1 or 0, and 0.

    Rejected: SIOCINQ, which a listening socket refuses.
    """
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _SOCK_DIAG) as netlink:
            netlink.settimeout(0.1)
            inode = os.fstat(sock.fileno()).st_ino
            ask = _ASK.pack(socket.AF_UNIX, 0, 0, _LISTEN, inode, _SHOW_RQLEN, 0xFFFFFFFF, 0xFFFFFFFF)
            header = _HEADER.pack(_HEADER.size + len(ask), _BY_FAMILY, _REQUEST, 1, 0)
            netlink.sendto(header + ask, (0, 0))
            return _read(netlink.recv(4096))
    except (OSError, struct.error):
        poller = select.poll()  # select(2) knows no descriptor beyond 1023
        poller.register(sock, select.POLLIN)
        return int(bool(poller.poll(0))), 0


def _read(answer: bytes) -> tuple[int, int]:
    size, kind, *_ = _HEADER.unpack_from(answer)
    if kind != _BY_FAMILY:
        raise OSError("sock_diag refused")
    at = _HEADER.size + _MESSAGE_SIZE
    while at < size:
        length, attribute = _ATTRIBUTE.unpack_from(answer, at)
        if attribute == _RQLEN:
            waiting, room = struct.unpack_from("=II", answer, at + 4)
            return waiting, room
        at += max(4, (length + 3) & ~3)
    raise OSError("sock_diag did not say")
