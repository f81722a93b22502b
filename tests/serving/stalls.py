"""A machine that stands still for some seconds, as a neighbour makes it, fails no test of times.

Best is a test that waits for what it looks for. These are for those that are about a time.
"""

from __future__ import annotations

import contextlib
import functools
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class StoodStill(Exception):
    """What was to happen at short beats came late, so nothing can be said of what the beats keep going."""


def when_steady(test: Callable[..., None]) -> Callable[..., None]:
    """Begin the test again, four times at most, where the machine stood still in it."""

    @functools.wraps(test)
    def again(*arguments: Any, **options: Any) -> None:
        for _ in range(4):
            with contextlib.suppress(StoodStill):
                test(*arguments, **options)
                return
        test(*arguments, **options)

    return again


def sleep_and_watch(seconds: float) -> float:
    """Sleep for so long; return the longest time that the machine stood still in it."""
    longest, now = 0.0, time.monotonic()
    end = now + seconds
    while now < end:
        time.sleep(0.1)
        before, now = now, time.monotonic()
        longest = max(longest, now - before)
    return longest


def quick(seconds: float, took: Callable[[], float]) -> bool:
    """Whether one of five tries took less than this.

    What waits for so long by itself never does; what a busy machine holds up does at times.
    """
    return any(took() < seconds for _ in range(5))
