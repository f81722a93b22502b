"""What one decision costs: the planner alone, on ready snapshots of a WebServer of 100 pods at rest."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fleet_streams import aggregate

from mpm_operator.core.directives import normalise
from mpm_operator.core.flow import listen
from mpm_operator.core.memory import fresh
from mpm_operator.core.planner import plan
from mpm_operator.core.snapshot import Pod, PodPhase, Snapshot
from mpm_operator.core.spec import App, MPMDirectives, Scaling, WebServerSpec
from mpm_operator.scoreboard import parse

if TYPE_CHECKING:
    from mpm_operator.core.memory import Memory
    from mpm_operator.core.snapshot import Report

PODS = 100
SETTLE, TURNS, SECONDS = 60, 10, 40
"""Seconds of the planner's time before it is measured, and in each turn. The best turn counts: what else the
machine does only ever adds."""


def measure() -> float:
    """Return the CPU microseconds of a decision in the best turn: one a second, on lines that are new."""
    mpm = MPMDirectives(threads_per_child=25, max_request_workers=400 * 25)
    spec = WebServerSpec(app=App(module="app:app"), mpm=mpm, scaling=Scaling(min_replicas=PODS))
    effective, _ = normalise(spec)

    def decide(second: int, pods: tuple[Pod, ...], memory: Memory) -> Memory:
        made = plan(Snapshot(effective=effective, pods=pods, replicas=PODS, memory=memory), float(second))
        assert made.memory is not None
        for control in (*made.lower, *made.controls):
            number = int(control.pod.removeprefix("pod-"))
            ceilings[number] = int(control.changes.get("threadsCeiling", ceilings[number]))
        return made.memory

    memory, ceilings = fresh(0.0), dict.fromkeys(range(PODS), 25)
    heard: dict[int, Report] = {}
    for second in range(SETTLE):
        memory = decide(second, _pods(second, ceilings, heard), memory)
    turns = []
    for start in range(SETTLE, SETTLE + TURNS * SECONDS, SECONDS):
        ready = [(second, _pods(second, ceilings, heard)) for second in range(start, start + SECONDS)]
        began = time.process_time()
        for second, pods in ready:
            memory = decide(second, pods, memory)
        turns.append(time.process_time() - began)
    return 1e6 * min(turns) / SECONDS


def _pods(second: int, ceilings: dict[int, int], heard: dict[int, Report]) -> tuple[Pod, ...]:
    """Return the pods of one second; each line is less than a second old. `heard` = their last lines."""
    for number, ceiling in ceilings.items():
        said = aggregate(f"b{number}", second + 1, 12 + (number + second) % 5, second * 140, ceiling)
        heard[number] = listen(parse(said, second - 0.009 * number).report, heard.get(number))
    return tuple(
        Pod(
            name=f"pod-{number}",
            phase=PodPhase.READY,
            created_at=-100.0,
            ready_at=-90.0,
            report=report,
            in_endpoints=True,
        )
        for number, report in heard.items()
    )
