"""The run: waves of load and limits all the time, and one disturbance after the other."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from . import acts
from .stage import clients

if TYPE_CHECKING:
    from collections.abc import Callable

    from .stage import Stage

LOW, HIGH = 20, 150
"""Milliseconds a request takes: at 350 requests/s 7 or 53 busy slots."""
CYCLE: tuple[tuple[str, int, float], ...] = (
    ("demand", HIGH, 11.0),
    ("demand", LOW, 15.0),
    ("least", 5, 6.0),
    ("least", 2, 12.0),
)
"""What changes, to what, and how many seconds it stays so."""
STEP_SECONDS = 0.25


@dataclass(frozen=True)
class Size:
    """How much of everything there shall be at least."""

    requests: int = 200_000
    scale_events: int = 50
    rollouts: int = 3
    live_changes: int = 5
    deletes: int = 3
    kills: int = 2
    outage_seconds: float = 60.0
    etcd_restarts: int = 1
    clients: int = 150
    period: float = 0.4
    most_seconds: float = 1800.0
    seed: int = 1


TENTH = Size(
    requests=20_000,
    scale_events=5,
    rollouts=1,
    live_changes=1,
    deletes=1,
    kills=1,
    outage_seconds=5.0,
    most_seconds=170.0,
)


PEER = Size(
    requests=30_000,
    scale_events=5,
    rollouts=3,
    live_changes=0,
    deletes=3,
    kills=0,
    outage_seconds=0.0,
    etcd_restarts=0,
    most_seconds=300.0,
)
"""Of what is done, only that which a plain Deployment can know of."""


def disturbances(size: Size) -> list[Callable[[Stage], object]]:
    """All of them, shuffled by the seed."""
    found: list[Callable[[Stage], object]] = [
        *[acts.rollout] * size.rollouts,
        *[partial(acts.live_change, number=number) for number in range(size.live_changes)],
        *[acts.delete_pod] * size.deletes,
        *[acts.kill_operator] * size.kills,
        *[acts.restart_etcd] * size.etcd_restarts,
    ]
    if size.outage_seconds:
        found.append(partial(acts.outage, seconds=size.outage_seconds))
    random.Random(size.seed).shuffle(found)
    return found


def run(stage: Stage, size: Size) -> None:
    """Serve until everything was done and seen often enough; the record tells the rest."""
    due = size.requests * size.period / size.clients
    disturber = Disturber(stage, disturbances(size), due * 0.85)
    with clients(stage, size.clients, size.period, LOW):
        disturber.start()
        end = time.monotonic() + size.most_seconds
        while not _enough(stage, size, disturber) and time.monotonic() < end:
            for what, value, seconds in CYCLE:
                if what == "demand":
                    stage.demand(value)
                else:
                    acts.wave(stage, value)
                _pass(stage, size, disturber, seconds, end)
        disturber.join(60)


def _pass(stage: Stage, size: Size, disturber: Disturber, seconds: float, end: float) -> None:
    over = time.monotonic() + seconds
    while time.monotonic() < min(over, end) and not _enough(stage, size, disturber):
        time.sleep(STEP_SECONDS)


def _enough(stage: Stage, size: Size, disturber: Disturber) -> bool:
    return (
        not disturber.is_alive()
        and stage.record.requests >= size.requests
        and stage.record.scale_events >= size.scale_events
    )


class Disturber(threading.Thread):
    """One disturbance after the other, begun evenly over `seconds`."""

    def __init__(self, stage: Stage, wanted: list[Callable[[Stage], object]], seconds: float) -> None:
        super().__init__(daemon=True)
        self._stage, self._wanted, self._pause = stage, wanted, seconds / (len(wanted) + 1)

    def run(self) -> None:
        began = time.monotonic()
        for number, act in enumerate(self._wanted, 1):
            time.sleep(max(1.0, began + number * self._pause - time.monotonic()))
            act(self._stage)
