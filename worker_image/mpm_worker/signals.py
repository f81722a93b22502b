"""Signals as events of the supervisor's loop: nothing is done in the middle of something else."""

from __future__ import annotations

import selectors
import signal
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Handler = Callable[..., object]


class HeldBack:
    """Signals held back around a fork: else one for the new process finds its parent's handler."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = tuple(numbers)
        self._before = threading.local()

    def hold(self) -> None:
        self._before.mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)

    def release(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before.mask)


class Signals:
    """Calls the action of each signal that has come, then `after`, from the loop of a selector."""

    def __init__(self, actions: Mapping[int, Callable[[], object]], after: Callable[[], None]) -> None:
        self._actions, self._after = actions, after
        self.held = HeldBack(actions)
        self._bell, self._bell_in = socket.socketpair()
        self._bell.setblocking(False)
        self._bell_in.setblocking(False)

    def catch(self, selector: selectors.BaseSelector) -> None:
        """From now on; those that were held back come first."""
        for number in self._actions:
            signal.signal(number, nothing)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.set_wakeup_fd(self._bell_in.fileno(), warn_on_full_buffer=False)
        selector.register(self._bell, selectors.EVENT_READ, self._heard)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._actions)

    def close(self) -> None:
        """In a process that has handlers of its own."""
        self._bell.close()
        self._bell_in.close()

    def forget(self) -> None:
        """In a process that is nobody's server: signals do to it what they do to any."""
        signal.set_wakeup_fd(-1)
        give_back(dict.fromkeys(self._actions, nothing))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._actions)

    def _heard(self, _: int) -> None:
        for number in self._bell.recv(4096):
            action = self._actions.get(signal.Signals(number))
            if action is not None:
                action()
        self._after()


def give_back(handlers: Mapping[int, Handler]) -> None:
    """Let these signals do what they do to any process, where the handler is still ours."""
    for number, handler in handlers.items():
        if signal.getsignal(number) == handler:
            signal.signal(number, signal.SIG_DFL)


def nothing(number: int, frame: object) -> None:
    """A handler that must only exist: the wake-up descriptor tells a loop, or nobody is to be told.

    What is ignored instead, the programs that an application starts would ignore too.
    """
