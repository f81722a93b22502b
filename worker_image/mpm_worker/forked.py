"""What an application forks: a process of its own, that is no second server.

It inherits the listeners, the connections, the channel and the handlers of the server. With them it would
keep the port taken when the worker has ended, keep clients from seeing the end of a connection, and not end
at TERM, so that a pool of `multiprocessing` is waited for in vain. One that comes back from the request in
which it was forked would answer it a second time.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, NoReturn

from mpm_worker.say import say
from mpm_worker.signals import HeldBack, give_back

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mpm_worker.listeners import Listeners
    from mpm_worker.signals import Handler


class Parting:
    """Takes from whoever this server process forks what belongs to the server."""

    def __init__(self, listeners: Listeners, channel: socket.socket, handlers: Mapping[int, Handler]) -> None:
        """:param handlers: what the server does at signals; an application may have set others since"""
        self.happened = False
        """Whether this process is such a fork."""
        self._listeners, self._channel, self._handlers = listeners, channel, handlers
        self._names = {_own_name(sock.fileno()) for one in listeners.all for sock in one.sockets}
        self._held = HeldBack(handlers)
        os.register_at_fork(
            before=self._held.hold, after_in_parent=self._held.release, after_in_child=self._part
        )

    def _part(self) -> None:
        if self.happened:  # a fork of a fork: by now the numbers are of files of its own
            self._held.release()
            return
        self.happened = True
        give_back(self._handlers)
        self._held.release()
        nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for descriptor in list(self._ours()):
            # Not closed: the number would come to a file of the application's, and the response with it.
            os.dup2(nowhere, descriptor, inheritable=False)
        os.close(nowhere)

    def _ours(self) -> Iterator[int]:
        """Descriptors of the server. A connection is known by its own address, which is a listener's."""
        yield self._channel.fileno()
        if self._listeners.inboxes is not None:
            yield from self._listeners.inboxes.descriptors()
        for entry in os.listdir("/proc/self/fd"):
            if _own_name(int(entry)) in self._names:
                yield int(entry)


def end_one_that_came_back(where: str) -> NoReturn:
    """The end of a fork of the application's, or of its hooks', that did not end by itself."""
    say(
        f"{where}: a process that the application has forked came back from it and is ended;"
        " os._exit() ends it in time"
    )
    os._exit(0)


def _own_name(descriptor: int) -> object:
    """Of a socket the port, since the address may be a wildcard's, or the path; None of anything else."""
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError:
        return None
    try:
        name = sock.getsockname()
    except OSError:
        return None  # a family without names
    finally:
        sock.detach()
    return name[1] if isinstance(name, tuple) else name
