"""Stand-ins for the planner: policies so simple that what the model must do under them is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpm_operator.core.directives import normalise
from mpm_operator.core.plan import Decision, Plan
from mpm_operator.core.spec import App, MPMDirectives, Scaling, WebServerSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_operator.core.effective import Effective
    from mpm_operator.core.snapshot import Snapshot
    from mpm_operator.simulator.policy import Policy


def effective(slots: int = 25, *, backlog: int = 511, drain_delay: int = 5, grace: int = 60) -> Effective:
    """Directives of pods of `slots` slots, without limits that matter."""
    mpm = MPMDirectives(
        threads_per_child=slots,
        max_request_workers=1000 * slots,
        listen_backlog=backlog,
        graceful_shutdown_timeout_seconds=grace,
    )
    spec = WebServerSpec(app=App(module="a:b"), mpm=mpm, scaling=Scaling(drain_delay_seconds=drain_delay))
    return normalise(spec)[0]


def pods(count: Callable[[float], int]) -> Policy:
    """As many pods as `count(now)` says."""

    def policy(snapshot: Snapshot, now: float) -> Plan:
        wanted = count(now)
        return Plan(desired=wanted, replicas=wanted, decision=Decision("Test", ""), due=now + 1)

    return policy


def scripted(steps: dict[float, Plan], pods_always: int) -> tuple[Policy, list[Snapshot]]:
    """Once each plan of `steps`, at the first look after its time; else as it is. And what it was shown."""
    seen: list[Snapshot] = []
    left = dict(steps)

    def policy(snapshot: Snapshot, now: float) -> Plan:
        seen.append(snapshot)
        for time in sorted(left):
            if now >= time:
                return left.pop(time)
        there = pods_always if snapshot.replicas is None else snapshot.replicas
        return Plan(desired=there, replicas=there, due=now + 1)

    return policy, seen
