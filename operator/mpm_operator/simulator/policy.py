"""The shape of whoever decides: the planner, or an autoscaler to compare it with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mpm_operator.core.plan import Plan
    from mpm_operator.core.snapshot import Snapshot


class Policy(Protocol):
    """`core.planner.plan` has this shape.

    Other autoscalers keep state of their own and fill in `Plan.desired` and `replicas`. All are asked at
    least once a second; whoever decides more rarely answers the same in between.
    """

    def __call__(self, snapshot: Snapshot, now: float) -> Plan: ...
