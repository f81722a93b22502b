"""What comes to a pod is the difference of two of its lines a second apart, taken once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mpm_operator.core.estimator import Load, observe
from mpm_operator.core.flow import listen
from mpm_operator.core.snapshot import Pod, PodPhase, PodState, Report

FIRST = Report(
    at=100.0, boot="a", state=PodState.SERVING, servers=1, threads_per_child=25, threads_ceiling=25, busy=4,
    idle=21, total=25, queue=0, backlog_limit=511, overflows=0, connections=0, keep_alive=0, accesses=1000,
    busy_ms=90_000, cpu_ms=9_000, cpu_quota=1.0, throttled_ms=0, rss=0, memory_limit=0,
)  # fmt: skip
SECOND = st.fixed_dictionaries(
    {
        "served": st.integers(0, 500),
        "busy": st.integers(0, 25),
        "queue": st.integers(0, 50),
        "held": st.integers(0, 40_000),
        "burnt": st.integers(0, 1500),
        "between": st.lists(st.floats(0.05, 0.85), max_size=3).map(sorted),
    }
)


def line(before: Report, **said: Any) -> Report:
    return listen(replace(before, **said), before)


def turns(seconds: list[dict[str, Any]], *, edges: bool) -> list[Report]:
    """Return the line of each turn; with edges, a full pod speaks up between them."""
    last, found = listen(FIRST, None), []
    for number, second in enumerate(seconds):
        for part in second["between"] if edges else ():
            last = line(last, at=FIRST.at + number + part, busy=25, queue=9)
        last = line(
            last,
            at=FIRST.at + number + 1,
            busy=second["busy"],
            queue=second["queue"],
            accesses=last.accesses + second["served"],
            busy_ms=last.busy_ms + second["held"],
            cpu_ms=last.cpu_ms + second["burnt"],
        )
        found.append(last)
    return found


def test_arrivals_are_what_was_completed_and_what_is_more_inside() -> None:
    second = line(
        listen(FIRST, None), at=102.0, accesses=1100, busy=10, queue=4, busy_ms=99_000, cpu_ms=9_500
    )
    flow = second.flow
    assert (flow.arrivals, flow.completions) == (55.0, 50.0)
    assert (flow.served, flow.held, flow.burnt) == (100, 9_000, 500)


def test_lines_that_come_in_together_count_by_the_clock_of_their_pod() -> None:
    """The operator stood still for four seconds: nothing came faster because of that."""
    last = listen(replace(FIRST, uptime_ms=50_000), None)
    for seconds in (1, 2, 3, 4):
        last = line(last, at=104.0, uptime_ms=50_000 + 1000 * seconds, accesses=1000 + 30 * seconds)
        assert last.flow.arrivals == 30.0


def test_a_line_that_was_overtaken_counts_nothing() -> None:
    first = listen(replace(FIRST, uptime_ms=50_000), None)
    second = line(first, at=101.0, uptime_ms=51_000, accesses=1030)
    overtaken = line(second, at=101.1, uptime_ms=50_900, accesses=1027)
    assert overtaken.flow == second.flow
    third = line(overtaken, at=102.0, uptime_ms=52_000, accesses=1060)
    assert (third.flow.arrivals, third.flow.served) == (30.0, 30)


def test_the_first_line_of_a_life_is_no_difference() -> None:
    first = listen(FIRST, None)
    reborn = line(line(first, at=101.0, accesses=1100), at=102.0, boot="b", accesses=50, busy_ms=500)
    for report in (first, reborn):
        assert (report.flow.arrivals, report.flow.served, report.flow.held) == (0.0, 0, 0)
    assert line(reborn, at=103.0, accesses=80).flow.served == 30


def test_lost_connections_are_told_at_once() -> None:
    first = listen(FIRST, None)
    edge = line(first, at=100.2, overflows=3)
    assert edge.flow.overflowed_at == 100.2
    assert line(edge, at=101.0).flow.overflowed_at == 100.2


@given(seconds=st.lists(SECOND, min_size=1, max_size=12))
def test_every_completion_is_counted_once(seconds: list[dict[str, Any]]) -> None:
    reports = turns(seconds, edges=True)
    assert sum(report.flow.served for report in reports) == reports[-1].accesses - FIRST.accesses
    assert sum(report.flow.held for report in reports) == reports[-1].busy_ms - FIRST.busy_ms
    assert sum(report.flow.burnt for report in reports) == reports[-1].cpu_ms - FIRST.cpu_ms


@given(seconds=st.lists(SECOND, min_size=1, max_size=12))
def test_what_a_pod_says_between_its_turns_changes_no_estimate(seconds: list[dict[str, Any]]) -> None:
    """A pod speaks up just when it runs full: up to such a moment more comes than on average."""
    loads = []
    for edges in (False, True):
        load = Load()
        for report in turns(seconds, edges=edges):
            pod = Pod("shop-1", PodPhase.READY, 0.0, report=report)
            load = observe(load, [pod], report.busy, report.idle, report.queue, report.at + 0.5)
        loads.append(load)
    assert loads[0] == loads[1]


def test_a_planner_that_just_began_counts_nothing_from_before_its_time() -> None:
    second = line(listen(FIRST, None), at=101.0, accesses=1100, busy_ms=99_000, overflows=1)
    pods = [Pod("shop-1", PodPhase.READY, 0.0, report=second)]
    load = observe(Load(), pods, 4, 21, 0, 4000.0)
    assert (load.rate, load.served, load.overflowing) == (100.0, 0.0, False)


@pytest.mark.parametrize(("seconds", "counted"), [(0.2, 0), (0.9, 10), (1.1, 10)])
def test_only_a_turn_is_divided_by(seconds: float, counted: int) -> None:
    soon = line(listen(FIRST, None), at=100.0 + seconds, accesses=1010)
    assert soon.flow.served == counted
