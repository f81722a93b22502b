"""The service manager: sockets it hands down (sd_listen_fds(3)), and what it is told (sd_notify(3))."""

from __future__ import annotations

import math
import os
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

_FIRST: Final = 3
ADMIN: Final = "admin"
"""FileDescriptorName= of a socket that is the admin port."""
_STATUS_GAP: Final = 1.0
"""Least seconds between two lines of status."""
VARIABLES: Final = (
    *("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"),
    *("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"),
)


@dataclass(frozen=True, slots=True)
class Given:
    """Descriptors of listening sockets, by use."""

    requests: tuple[int, ...] = ()
    admin: tuple[int, ...] = ()


def given(environ: Mapping[str, str]) -> Given:
    """The sockets that were handed to this process, none if they were meant for another."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return Given()
    count = environ.get("LISTEN_FDS", "")
    numbers = range(_FIRST, _FIRST + (int(count) if count.isascii() and count.isdigit() else 0))
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    admin = [number for number, name in zip(numbers, names, strict=False) if name == ADMIN]
    return Given(tuple(number for number in numbers if number not in admin), tuple(admin))


def forget(environ: MutableMapping[str, str]) -> None:
    """What was said to this process is not said to those it starts."""
    for name in VARIABLES:
        environ.pop(name, None)


class Notifier:
    """Tells the service manager what changed since it was last told; silent where there is none.

    `interval` is how often (seconds) it wants to hear of us at least.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address[:1] in ("@", "/") else None
        self.interval = math.inf
        meant = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        span = environ.get("WATCHDOG_USEC", "")
        if self._socket is not None and meant and span.isascii() and span.isdigit() and int(span):
            self.interval = int(span) / 2e6
        self._alive_due = 0.0
        self._told_ready = self._told_stopping = self._told_reloading = False
        self._status, self._status_due = "", 0.0
        if self._socket is not None:
            self._socket.setblocking(False)

    def tell(self, state: str, *, reloading: bool, status: str) -> None:
        """:param state: of the pod, as in its scoreboard"""
        if self._socket is None:
            return
        lines: list[str] = []
        if state == "Stopping":
            if not self._told_stopping:
                self._told_stopping = True
                lines.append("STOPPING=1")
        elif reloading and self._told_ready and not self._told_reloading:
            self._told_reloading = True
            lines += ["RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"]
        elif state != "Starting" and not reloading and (not self._told_ready or self._told_reloading):
            self._told_ready, self._told_reloading = True, False
            lines.append("READY=1")
        now = time.monotonic()
        if status != self._status and (lines or now >= self._status_due):
            self._status, self._status_due = status, now + _STATUS_GAP
            lines.append(f"STATUS={status}")
        if now >= self._alive_due:
            self._alive_due = now + self.interval
            if self.interval < math.inf:
                lines.append("WATCHDOG=1")
        if lines:
            self._send("\n".join(lines))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _send(self, text: str) -> None:
        assert self._socket is not None
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError:
            pass  # it is gone or does not listen: no reason to serve any less
