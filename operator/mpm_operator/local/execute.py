"""Carries out a Plan on the local pods, in the order that `core.plan` prescribes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mpm_operator.core.plan import IDLE_WITHIN_SECONDS, QUIESCE_TTL_SECONDS, VICTIM_COST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mpm_operator.core.plan import Plan

    from .pods import Pods


async def execute(plan: Plan, pods: Pods) -> None:
    """Do what `plan` says. Raises AdminError at the first step that a pod did not take: then plan again."""
    await _call(pods, ((control.pod, "PUT", "/control", control.changes) for control in plan.lower))
    await _call(pods, ((name, "POST", "/control/resume", {}) for name in plan.resume))
    at_once = {"ttlSeconds": QUIESCE_TTL_SECONDS}
    when_idle = at_once | {"idleWithinSeconds": IDLE_WITHIN_SECONDS}
    await _call(
        pods,
        (
            (name, "POST", "/control/quiesce", when_idle if name in plan.patient else at_once)
            for name in plan.quiesce
        ),
    )
    for name in filter(pods.__contains__, plan.victims):
        pods[name].set_cost(VICTIM_COST)
    for name in filter(pods.__contains__, plan.pardoned):
        pods[name].set_cost(0)
    if plan.replicas != pods.replicas:
        pods.scale(plan.replicas)
    await _call(pods, ((control.pod, "PUT", "/control", control.changes) for control in plan.controls))
    await _call(
        pods, ((one.pod, "POST", "/control/rebalance", {"share": one.share}) for one in plan.rebalance)
    )


async def _call(pods: Pods, calls: Iterable[tuple[str, str, str, Mapping[str, Any]]]) -> None:
    """The calls of one step, all at once."""
    await asyncio.gather(
        *(pods[name].control(method, path, body) for name, method, path, body in calls if name in pods)
    )
