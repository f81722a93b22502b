"""The compiled twin of the hot path, if it was built and is wanted.

`MPM_COMPILED=0` in the environment does without. Whoever has a twin there asks `module` for it, and works
the same without one (docs/adr/0008).
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import select
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


def kind() -> str:
    """Which twin runs: "compiled" or "pure Python"."""
    return "pure Python" if module is None else "compiled"
