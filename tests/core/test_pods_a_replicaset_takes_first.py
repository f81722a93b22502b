"""Which pods may be left to the ReplicaSet's choice: those it ranks before every pod that serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mpm_operator.core.memory import fresh
from mpm_operator.core.snapshot import Pod, PodPhase, PodState, Report, Snapshot
from mpm_operator.core.survey import START_DEADLINE_SECONDS, Survey, survey

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_operator.core.directives import Effective


@pytest.mark.parametrize(
    ("phase", "expendable"),
    [(PodPhase.UNREADY, 1), (PodPhase.FAILED, 1), (PodPhase.STARTING, 1), (PodPhase.READY, 0)],
)
def test_a_ready_pod_that_ends_by_itself_is_not_among_them(phase: PodPhase, expendable: int) -> None:
    assert Survey(broken=[Pod("shop-1", phase, 0.0)]).expendable == expendable


@pytest.mark.parametrize(
    ("state", "age", "expendable"),
    [
        (PodState.SERVING, 30.0, 0),
        (PodState.SERVING, START_DEADLINE_SECONDS + 1, 1),
        (PodState.STOPPING, 30.0, 1),
        (None, 30.0, 1),
    ],
    ids=["served lately", "silent for ever", "ended by itself", "never said a word"],
)
def test_an_unready_pod_that_fell_silent_while_it_served_is_not_among_them(
    effective: Callable[..., Effective], state: PodState | None, age: float, expendable: int
) -> None:
    report = None if state is None else Report(
        at=1000.0 - age, boot="a", state=state, servers=1, threads_per_child=10, threads_ceiling=10, busy=3,
        idle=7, total=10, queue=0, backlog_limit=511, overflows=0, connections=3, keep_alive=0, accesses=50,
        busy_ms=0, cpu_ms=0, cpu_quota=1.0, throttled_ms=0, rss=0, memory_limit=0,
    )  # fmt: skip
    pod = Pod("shop-1", PodPhase.UNREADY, 0.0, report=report)
    seen = survey(Snapshot(effective(), (pod,), 1, fresh(0.0)), (), 1000.0)
    assert seen.broken == [pod]
    assert seen.expendable == expendable
