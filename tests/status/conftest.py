"""`?auto` in the states that readers must cope with, made by the code that serves it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from pod_lines import said

from mpm_operator.scoreboard import Counters, Frame, PodLine, board
from mpm_worker.cgroup import Allowance
from mpm_worker.listeners import Backlog
from mpm_worker.observe import Load, Resources, Totals
from mpm_worker.procfs import Cpu
from mpm_worker.status import View, auto

if TYPE_CHECKING:
    from collections.abc import Callable

NOTHING = Load(busy=0, idle=0, queue=0, backlog=Backlog(), connections=0, keep_alive=0, reading=0, closing=0)

IDLE = View(
    version="mpm-worker/0.1.0 (Unix) Python/3.11.7",
    mpm="event",
    name="shop-7d9f8-x2x4q",
    built=1_700_000_000.0,
    now=1_700_100_000.0,
    started=1_700_099_900.0,
    uptime=100.0,
    generation=0,
    load_average=(4.6, 1.2, 0.47),
    load=replace(NOTHING, idle=25),
    totals=Totals(accesses=0, sent=0, connections=0, busy_ms=0),
    resources=Resources(Cpu(0.08, 0.01), {}, Allowance(1.0, 0, 0)),
    letters="_" * 25,
    servers=1,
    stopping=0,
)
"""Just started: no request yet, so no averages of requests."""

BUSY = replace(
    IDLE,
    load=replace(NOTHING, busy=23, idle=2, queue=7, connections=60, keep_alive=30, reading=5, closing=2),
    totals=Totals(accesses=27_860, sent=33_803_264, connections=310, busy_ms=54_118),
    resources=Resources(Cpu(18.02, 1.5, 3.25, 0.25), {}, Allowance(1.0, 0, 0)),
    letters="W" * 15 + "RKLDC" + "WWW" + "__",
)


def whole(letters: str, pods: int, slots: int, **more: object) -> View:
    """A WebServer of pods that are alike, as the operator shows it."""
    line = said(letters=letters, accesses=100, **more)
    frame = Frame("default/shop", "event", 3, slots, 2 * pods * slots, 0.0, 1_700_000_000.0, 101.0, 50.0)
    counters = Counters(accesses=100 * pods, sent=10**9, busy_ms=5000 * pods, user_ms=70 * pods)
    return board(frame, [PodLine(f"shop-{number}", line) for number in range(pods)], counters).view


STATES = {
    "idle": IDLE,
    "busy": BUSY,
    "draining": replace(
        BUSY,
        load=replace(NOTHING, busy=2, connections=4, keep_alive=2),
        letters="GG" + "I" * 23,
        servers=1,
        stopping=1,
    ),
    "a thousand slots": replace(
        BUSY, load=replace(NOTHING, busy=600, idle=400), letters="_WWW_" * 200, servers=40
    ),
    "nearly idle for weeks": replace(
        BUSY, uptime=4_000_000.0, totals=Totals(accesses=3, sent=10, connections=3, busy_ms=1)
    ),
    "starting": replace(IDLE, uptime=0.2, load=NOTHING, letters="S" + "." * 24),
    "a whole at rest": whole("_25", 3, 25, idle=25),
    "a whole under load": whole("W20RKCLD", 3, 25, busy=25),
    "a whole that drains": whole("G5I20", 3, 25, busy=5, state="Stopping"),
    "a whole of a thousand pods": whole("W20_5", 1000, 25, busy=20, idle=5),
    "too many to print": replace(
        BUSY, load=replace(NOTHING, busy=40_000, idle=40_000), letters="W_." * 40_000
    ),
}


@pytest.fixture(params=STATES)
def view(request: pytest.FixtureRequest) -> View:
    return STATES[request.param]


@pytest.fixture(params=["prefork", "worker", "event"])
def shown(view: View, request: pytest.FixtureRequest) -> View:
    """Each state in each model."""
    return replace(view, mpm=request.param)


@pytest.fixture
def text(shown: View) -> str:
    """Its `?auto`."""
    return auto(shown)


@pytest.fixture
def state() -> Callable[[str], View]:
    return STATES.__getitem__
