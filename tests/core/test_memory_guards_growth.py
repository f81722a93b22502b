"""No more threads than the pod's memory holds, from the resident memory at known numbers of slots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from mpm_operator.core.footprint import Footprint, measure, thread_limit
from mpm_operator.core.memory import fresh
from mpm_operator.core.planner import plan
from mpm_operator.core.snapshot import Pod, PodPhase, PodState, Report, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 2**20
REPORT = Report(
    at=10.0, boot="a", state=PodState.SERVING, servers=1, threads_per_child=25, threads_ceiling=25, busy=12,
    idle=13, total=25, queue=0, backlog_limit=511, overflows=0, connections=0, keep_alive=0, accesses=0,
    busy_ms=0, cpu_ms=0, cpu_quota=1.0, throttled_ms=0, rss=0, memory_limit=256 * MIB,
    settings={"threadsPerChild": 25, "processes": 1},
)  # fmt: skip


def pod(total: int, rss_mib: int, ceiling: int = 25, limit_mib: int = 256) -> Pod:
    report = replace(
        REPORT, total=total, rss=rss_mib * MIB, threads_ceiling=ceiling, memory_limit=limit_mib * MIB
    )
    return Pod(f"shop-{total}-{rss_mib}", PodPhase.READY, 0.0, report=report)


def test_one_number_of_slots_puts_all_memory_down_to_them() -> None:
    """100 MiB at 25 slots: 4 MiB each at most, and 130 MiB are left below nine tenths of the limit."""
    assert measure(Footprint(), [pod(25, 100)]).slots == 25 + 32


def test_two_numbers_of_slots_tell_what_one_takes() -> None:
    footprint = measure(Footprint(), [pod(25, 100), pod(35, 110)])
    assert footprint.slot_bytes == MIB
    assert footprint.slots == 35 + 120


def test_what_a_pod_has_is_never_taken() -> None:
    assert measure(Footprint(), [pod(40, 250)]).slots == 40


@pytest.mark.parametrize("quiet", [pod(25, 0), pod(25, 100, limit_mib=0)])
def test_no_limit_guards_nothing(effective: Callable[..., Any], quiet: Pod) -> None:
    assert thread_limit(measure(Footprint(), [quiet]), effective()) == 64


def test_small_moves_of_the_memory_move_no_ceiling() -> None:
    footprint = measure(Footprint(), [pod(25, 100)])
    assert measure(footprint, [pod(25, 102)]).slots == footprint.slots
    assert measure(footprint, [pod(25, 200)]).slots == 25 + 3


def planned(effective: Any, pods: tuple[Pod, ...], footprint: Footprint) -> Any:
    memory = replace(fresh(0.0), footprint=footprint)
    return plan(Snapshot(effective, pods, len(pods), memory), 10.0)


def test_ceilings_stop_where_memory_ends(effective: Callable[..., Any]) -> None:
    directives = effective({"threadsPerChild": 25, "maxRequestWorkers": 1000})
    free = planned(directives, (pod(25, 100),), Footprint())
    assert free.controls[0].changes["threadsCeiling"] == 64
    assert free.memory.footprint.slots == 57
    held = planned(directives, (pod(25, 100),), free.memory.footprint)
    assert held.controls[0].changes["threadsCeiling"] == 57
    assert any("memory allows 57 slots a pod" in line for line in held.decision.chain)


def test_a_ceiling_above_what_memory_allows_is_lowered(effective: Callable[..., Any]) -> None:
    directives = effective({"threadsPerChild": 25, "maxRequestWorkers": 1000})
    held = planned(directives, (pod(25, 100, ceiling=64),), Footprint(25, 1, 25, 100 * MIB, 57))
    assert held.lower[0].changes["threadsCeiling"] == 57
