"""A piece of a trace, scaled to the machine: on the cluster, and as the simulator says it would be there."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import msgspec

from mpm_operator.core.directives import normalise
from mpm_operator.core.planner import plan
from mpm_operator.core.spec import WebServerSpec
from mpm_operator.simulator.load import requests
from mpm_operator.simulator.pod import SETTLE_SECONDS
from mpm_operator.simulator.run import simulate
from mpm_operator.simulator.scenario import Scenario

from .stage import CPU_S, DRAIN_DELAY_S, SERVICE_S, SLOTS, peer, webserver

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mpm_operator.simulator.result import Result

    from .stage import Stage

OPEN_LOOP = Path(__file__).with_name("open_loop.py")
SLO_S = 0.25
SEED = 1
DEALINGS = 30
"""Predictions, each with another luck of the balancer: kube-proxy's own cannot be known."""
WINDOW_S = 120
WARM_UP_S = 120
MEAN_LOAD = 2.5 * SLOTS
"""Busy slots on average: four to eight pods, which two CPUs can start and serve."""
START_USE = 0.5
"""Share of the slots that is busy at the beginning, for all alike."""
ENDING_S = 1.0
"""What the end of a pod takes where none was seen to end."""

OURS: Mapping[str, tuple[int, int]] = {"ours": (12, 5), "plain": (SLOTS, 20)}
"""Part → ThreadLimit and waitProbabilityPercent. `ours` has room for 2.4 times its slots, as 64 threads are
to 25; `plain` cannot burst and is allowed many waits, so that there are violations to be foretold."""


HPA: Mapping[str, int] = {"hpa": 70, "hpa-50": 50}
"""Part → target of the HPA, in percent of its CPU request."""


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
    ending_s: float
    """Median, from the end of a pod's processes until its object is gone."""
    held_s: float
    """Mean time that a request held a slot, by the application's own clock."""
    lag_p99_ms: float
    """By how much the clients were late: of the machine, not of the server."""
    wanted_to_run: float
    """Processes on this machine that wanted to run, mean of the last five minutes."""
    failures: dict[str, int]


@dataclass(frozen=True, slots=True)
class Said:
    """What the simulator says: medians over DEALINGS lucks of the balancer, and [least, most] of two."""

    requests: int
    violations: float
    wait_p99_ms: float
    pod_seconds: float
    peak: int
    violations_range: tuple[float, float]
    pod_seconds_range: tuple[float, float]


def scaled(rates: Sequence[float], seconds: int, start: int = 0) -> list[float]:
    """Return `seconds` of the trace with a mean load of MEAN_LOAD."""
    piece = rates[start : start + seconds]
    factor = MEAN_LOAD / SERVICE_S / (sum(piece) / len(piece))
    return [rate * factor for rate in piece]


def with_operator(stage: Stage, part: str, rates: Sequence[float]) -> Seen:
    """Replay against a WebServer."""
    stage.apply(spec(part, rates))
    return _replay(stage, rates, SETTLE_SECONDS)


def with_hpa(stage: Stage, part: str, rates: Sequence[float]) -> Seen:
    """Replay against the plain Deployment with an HPA on CPU."""
    stage.apply(*peer(stage.cluster.worker_image, _first(rates), HPA[part]))
    return _replay(stage, rates, DRAIN_DELAY_S)


def spec(part: str, rates: Sequence[float]) -> dict[str, Any]:
    """Return the WebServer of that part of OURS."""
    burst, wait_percent = OURS[part]
    return webserver(burst, WINDOW_S, wait_percent, startServers=_first(rates))


def _first(rates: Sequence[float]) -> int:
    return math.ceil(rates[0] * SERVICE_S / SLOTS / START_USE)


def predicted(part: str, rates: Sequence[float], seen: Seen) -> Said:
    """Return what the simulator says of the same requests on the same directives.

    It is told what is the machine's: how long a pod takes to start and to go, and by how much requests hold
    their slots for longer than they were asked to.
    """
    effective, _ = normalise(msgspec.convert(spec(part, rates)["spec"], WebServerSpec))
    asked = fmean(held for _, held in _requests(rates))

    def run(dealing: int) -> Result:
        scenario = Scenario(
            service_s=SERVICE_S * seen.held_s / asked,
            startup_s=seen.startup_s,
            ending_s=seen.ending_s,
            slo_s=SLO_S,
            seed=SEED,
            dealing=dealing,
            warm_up_s=WARM_UP_S,
            cpu_s=CPU_S,
        )
        return simulate(rates, effective, scenario, plan)

    results = [run(dealing) for dealing in range(DEALINGS)]
    violations = sorted(result.violations_percent for result in results)
    pod_seconds = sorted(result.pod_seconds for result in results)
    return Said(
        requests=results[0].requests,
        violations=round(median(violations), 3),
        wait_p99_ms=median(result.p99_wait_ms for result in results),
        pod_seconds=round(median(pod_seconds), 1),
        peak=round(median(result.peak_pods for result in results)),
        violations_range=(violations[0], violations[-1]),
        pod_seconds_range=(pod_seconds[0], pod_seconds[-1]),
    )


def _requests(rates: Sequence[float]) -> list[tuple[float, float]]:
    """Return the requests of the measured time as the clients send them."""
    whole = [*[rates[0]] * WARM_UP_S, *rates]
    scenario = Scenario(service_s=SERVICE_S, seed=SEED, warm_up_s=WARM_UP_S)
    return [(arrival, held) for arrival, held in requests(whole, scenario) if arrival >= WARM_UP_S]


def _replay(stage: Stage, rates: Sequence[float], draining_s: float) -> Seen:
    stage.settle(_first(rates))
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
        out, _ = load.communicate(timeout=WARM_UP_S + len(rates) + 120)
    told = json.loads(out.splitlines()[-1])
    pods, began = stage.pods, told["began"]
    end = began + len(rates)
    endings = [max(0.0, took - draining_s) for took in pods.endings()]
    return Seen(
        requests=told["requests"],
        violations=round(told["violations_percent"], 3),
        wait_p99_ms=told["wait_p99_ms"],
        pod_seconds=round(pods.seconds(began, end), 1),
        peak=pods.peak(began, end),
        startup_s=round(median(pods.startups()), 2),
        ending_s=round(median(endings), 2) if endings else ENDING_S,
        held_s=round(told["held_mean_s"], 4),
        lag_p99_ms=told["lag_p99_ms"],
        wanted_to_run=round(os.getloadavg()[1], 1),
        failures=told["failures"],
    )
