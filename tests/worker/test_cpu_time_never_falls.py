"""CPU time of the pod: a process that ends is counted once, and what is told never goes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpm_worker.observe import never_less
from mpm_worker.procfs import Cpu

SECONDS = st.floats(0, 1e6)
CPUS = st.builds(Cpu, SECONDS, SECONDS, SECONDS, SECONDS)


def test_a_process_that_is_reaped_is_counted_once() -> None:
    running = Cpu(user=101.0, system=11.0)
    reaped = Cpu(user=1.0, system=1.0, children_user=100.0, children_system=10.0)
    assert never_less(reaped, running) == reaped
    later = Cpu(user=6.0, system=1.5, children_user=100.0, children_system=10.0)
    assert never_less(later, never_less(reaped, running)) == later


def test_what_rounding_takes_is_given_back() -> None:
    told = never_less(Cpu(user=1.0, children_user=99.5), Cpu(user=101.0))
    assert told == Cpu(user=1.0, children_user=100.0)


@given(now=CPUS, before=CPUS)
def test_neither_sum_falls_nor_rises_for_nothing(now: Cpu, before: Cpu) -> None:
    told = never_less(now, before)
    for own, children in ((0, 2), (1, 3)):
        sums = [cpu[own] + cpu[children] for cpu in (told, now, before)]
        assert sums[0] == pytest.approx(max(sums[1:]), rel=1e-9)
