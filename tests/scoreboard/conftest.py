"""Lines of pods as the stream brings them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pod_lines import said

from mpm_operator.scoreboard import Frame, Line

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def line() -> Callable[..., Line]:
    """Makes a line that arrived at `at`."""
    return said


@pytest.fixture
def frame() -> Frame:
    return Frame(
        name="default/shop",
        mpm="event",
        generation=3,
        slots_per_pod=5,
        max_request_workers=20,
        built=0.0,
        now=1_700_000_000.0,
        clock=101.0,
        uptime=50.0,
    )
