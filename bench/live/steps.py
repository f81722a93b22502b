"""Load step → replicas written: from the first request of a step to the Deployment that asks for more."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .stage import SLOTS, webserver

if TYPE_CHECKING:
    from .stage import Stage

BURSTS = Path(__file__).with_name("bursts.py")
WINDOW_S = 5
"""The stabilization window: short, so that the next step need not wait for it."""
QUIET_S = 2.0
STEP_S = 3.0
PATIENCE_S = 20.0


def measure(stage: Stage, steps: int) -> list[float]:
    """Return the seconds of each step, from one idle pod to four times its slots."""
    stage.apply(webserver(burst=SLOTS, window_s=WINDOW_S, maxRequestWorkers=2 * SLOTS))
    stage.settle(1)
    time.sleep(WINDOW_S + QUIET_S)
    argv = [sys.executable, BURSTS, f"{stage.url}?us=500000"]
    load = stage.cluster.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        return [_step(stage, load) for _ in range(steps)]
    finally:
        assert load.stdin is not None
        assert load.stdout is not None
        load.stdin.close()
        load.wait(timeout=60)
        load.stdout.close()


def _step(stage: Stage, load: subprocess.Popen[str]) -> float:
    pods = stage.pods
    assert load.stdin is not None
    assert load.stdout is not None
    before = len(pods.replicas)
    load.stdin.write(f"{4 * SLOTS} {STEP_S}\n")
    load.stdin.flush()
    began = float(load.stdout.readline())
    with pods.changed:
        if not pods.changed.wait_for(lambda: len(pods.replicas) > before, timeout=PATIENCE_S):
            raise TimeoutError(f"no replicas were written within {PATIENCE_S:g} s of a step")
        took = pods.replicas[before][0] - began
    load.stdout.readline()
    stage.settle(1)
    time.sleep(QUIET_S)
    return took
