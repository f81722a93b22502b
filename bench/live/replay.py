"""A piece of a trace, scaled to the machine: on the cluster, and as the simulator says it would be there."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec

from mpm_operator.core.directives import normalise
from mpm_operator.core.planner import plan
from mpm_operator.core.spec import WebServerSpec
from mpm_operator.simulator.run import simulate
from mpm_operator.simulator.scenario import Scenario

from .stage import CPU_S, SERVICE_S, SLOTS, peer, webserver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .stage import Stage

OPEN_LOOP = Path(__file__).with_name("open_loop.py")
SLO_S = 0.25
SEED = 1
BURST = 12
"""ThreadLimit: room for 2.4 times the slots, as 64 threads are to 25."""
WINDOW_S = 120
WARM_UP_S = 60
MEAN_LOAD = 2.5 * SLOTS
"""Busy slots on average: three to seven pods, which two CPUs can start and serve."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a replay came to; `violations` in percent of the requests."""

    requests: int
    violations: float
    wait_p99_ms: float
    pod_seconds: float
    peak: int
    startup_s: float
    """Median, from the creation of a pod until it is ready."""
    held_s: float
    """Mean time that a request held a slot, by the application's own clock."""
    lag_p99_ms: float
    """By how much the clients were late: of the machine, not of the server."""
    failures: dict[str, int]


def scaled(rates: Sequence[float], seconds: int, start: int = 0) -> list[float]:
    """Return `seconds` of the trace with a mean load of MEAN_LOAD."""
    piece = rates[start : start + seconds]
    factor = MEAN_LOAD / SERVICE_S / (sum(piece) / len(piece))
    return [rate * factor for rate in piece]


def with_operator(stage: Stage, rates: Sequence[float]) -> Seen:
    """Replay against a WebServer."""
    stage.apply(spec())
    return _replay(stage, rates)


def with_hpa(stage: Stage, rates: Sequence[float]) -> Seen:
    """Replay against the plain Deployment with an HPA on CPU."""
    stage.apply(*peer(stage.cluster.worker_image))
    return _replay(stage, rates)


def spec() -> dict[str, Any]:
    return webserver(burst=BURST, window_s=WINDOW_S)


def predicted(rates: Sequence[float], startup_s: float) -> Seen:
    """Return what the simulator says of the same requests on the same directives."""
    effective, _ = normalise(msgspec.convert(spec()["spec"], WebServerSpec))
    scenario = Scenario(
        service_s=SERVICE_S, startup_s=startup_s, slo_s=SLO_S, seed=SEED, warm_up_s=WARM_UP_S, cpu_s=CPU_S
    )
    result = simulate(rates, effective, scenario, plan)
    return Seen(
        requests=result.requests,
        violations=result.violations_percent,
        wait_p99_ms=result.p99_wait_ms,
        pod_seconds=result.pod_seconds,
        peak=result.peak_pods,
        startup_s=startup_s,
        held_s=SERVICE_S,
        lag_p99_ms=0.0,
        failures={},
    )


def _replay(stage: Stage, rates: Sequence[float]) -> Seen:
    stage.settle(1)
    order = {
        "rates": list(rates),
        "warm_up_s": WARM_UP_S,
        "service_s": SERVICE_S,
        "seed": SEED,
        "slo_s": SLO_S,
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(order, file)
        file.flush()
        argv = [sys.executable, OPEN_LOOP, stage.url, file.name]
        load = stage.cluster.popen(argv, stdout=subprocess.PIPE, text=True)
        began = time.time() + WARM_UP_S
        out, _ = load.communicate(timeout=WARM_UP_S + len(rates) + 120)
    told = json.loads(out.splitlines()[-1])
    end = began + len(rates)
    return Seen(
        requests=told["requests"],
        violations=round(told["violations_percent"], 3),
        wait_p99_ms=told["wait_p99_ms"],
        pod_seconds=round(stage.pods.seconds(began, end), 1),
        peak=stage.pods.peak(began, end),
        startup_s=round(median(stage.pods.startups()), 2),
        held_s=round(told["held_mean_s"], 3),
        lag_p99_ms=told["lag_p99_ms"],
        failures=told["failures"],
    )
