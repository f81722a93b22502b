"""Which pods may be left to the ReplicaSet's choice: those it ranks before every pod that serves."""

from __future__ import annotations

import pytest

from mpm_operator.core.snapshot import Pod, PodPhase
from mpm_operator.core.survey import Survey


@pytest.mark.parametrize(
    ("phase", "expendable"),
    [(PodPhase.UNREADY, 1), (PodPhase.FAILED, 1), (PodPhase.STARTING, 1), (PodPhase.READY, 0)],
)
def test_a_ready_pod_that_ends_by_itself_is_not_among_them(phase: PodPhase, expendable: int) -> None:
    assert Survey(broken=[Pod("shop-1", phase, 0.0)]).expendable == expendable
