"""The one listening socket of `mpm run`: bound by the parent for life, inherited by every pod.

One accept queue serves all pods: nothing waits behind a busy one, no connection is lost when a pod ends.
"""

from __future__ import annotations

import errno
import socket
import struct

# struct tcp_info of linux/tcp.h: 8 one-byte fields, then __u32; for a listener tcpi_unacked (the 5th) is the
# length of the accept queue.
_ACCEPT_QUEUE = struct.Struct("=8x4x4x4x4xI")


class PortTaken(Exception):
    """Address and port cannot be bound; the text names them and the option."""


class Listener:
    """A bound TCP socket that listens."""

    def __init__(self, host: str, port: int, backlog: int) -> None:
        """Bind `port` (0: any free one) of the address `host`, IPv4 or IPv6. Raises PortTaken."""
        self._host = f"[{host}]" if ":" in host else host
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.socket.bind((host, port))
        except OSError as error:
            self.socket.close()
            raise PortTaken(_why(error, host, port)) from error
        self.socket.listen(backlog)
        # The pods share the file description: a non-blocking accept lets the loser of a race go on.
        self.socket.setblocking(False)

    @property
    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}"

    def depth(self) -> int:
        """Connections that wait to be accepted."""
        info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACCEPT_QUEUE.size)
        return int(_ACCEPT_QUEUE.unpack(info)[0])

    def close(self) -> None:
        self.socket.close()


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is taken by another process; choose a free one: --port {port + 1}."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} is not allowed for this user; choose one above 1023: --port 8080."
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return f"{host} is no address of this machine; choose one that is: --host 127.0.0.1."
    return f"port {port} of {host} cannot be bound ({error.strerror}); choose another one: --port N."
