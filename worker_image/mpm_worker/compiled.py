"""The compiled twin of the hot path, if it was built and is wanted.

`MPM_COMPILED=0` in the environment does without. Whoever has a twin there asks `module` for it, and works
the same without one (docs/adr/0008).
"""

from __future__ import annotations

import importlib
import os
import select
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

module: Any = None
"""`mpm_worker._compiled`, or None."""

if os.environ.get("MPM_COMPILED") != "0":
    try:
        module = importlib.import_module("mpm_worker._compiled")
    except ImportError:
        pass  # not built here: there was no compiler, or it is another Python's

receive: Callable[[int, int], bytes] = os.read if module is None else module.receive
"""os.read of a socket that does not block."""


def poll(epoll: select.epoll, seconds: float, most: int) -> list[tuple[int, int]]:
    """epoll.poll(seconds, most)."""
    if module is None:
        return epoll.poll(seconds, most)
    events: list[tuple[int, int]] = module.poll(epoll.fileno(), seconds, most)
    return events


class PureWaiter:
    """Waits for what comes on a socket that does not block. It has a twin."""

    __slots__ = ("_descriptor", "_poll")

    def __init__(self, descriptor: int) -> None:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        self._descriptor, self._poll = descriptor, poller.poll

    def wait(self, seconds: float) -> bool:
        """Whether something has come within that time (or a bit more), if only the end."""
        return bool(self._poll(seconds * 1000 + 1))

    def receive(self, seconds: float, most: int) -> bytes | None:
        """At most `most` bytes of it, b"" = the end; None: nothing has come within that time."""
        return os.read(self._descriptor, most) if self._poll(seconds * 1000 + 1) else None


Waiter = PureWaiter
if not TYPE_CHECKING and module is not None:
    Waiter = module.Waiter


def kind() -> str:
    """Which twin runs: "compiled" or "pure Python"."""
    return "pure Python" if module is None else "compiled"
