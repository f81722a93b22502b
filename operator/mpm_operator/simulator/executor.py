"""Carries out plans on the simulated cluster, in the order of their fields, and observes it for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpm_operator.core.memory import Memory, fresh
from mpm_operator.core.plan import IDLE_WITHIN_SECONDS, VICTIM_COST
from mpm_operator.core.snapshot import Pod as ObservedPod
from mpm_operator.core.snapshot import PodPhase, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mpm_operator.core.plan import Control, Plan

    from .cluster import Cluster
    from .measures import Measures
    from .pod import Pod
    from .policy import Policy

WATCH_LAG = 0.1
"""From a write until it is seen back in the watch."""
PLAN_PERIOD = 1.0
EDGE_LAG = 0.01
"""From an edge to the plan that answers it."""
LEAST_BETWEEN_PLANS = 0.2
"""Edges that come faster are answered together."""
IDLE_LOOK = 0.02
"""Seconds between two looks of a supervisor for a moment without a request (`mpm_worker.supervisor`)."""
STATUS_PERIOD = 5.0
"""Least seconds between two writes of the status."""


class Operator:
    """Observes, asks the policy, executes: at least once a second, and soon after every edge."""

    def __init__(self, cluster: Cluster, policy: Policy, measures: Measures) -> None:
        self._cluster = cluster
        self._policy = policy
        self._measures = measures
        self._memory: Memory = fresh(0.0)
        self._replicas: int | None = None
        self._desired: int | None = None
        self._planned_at = float("-inf")
        self._due = float("inf")
        self._waiting: dict[str, float] = {}
        """Pods that look for a moment without a request to quiesce at, and until when."""
        self._status: object = None
        self._status_at = float("-inf")
        cluster.on_edge = self._wake
        cluster.at(0.0, self._tick)

    def _tick(self, now: float) -> None:
        self._cluster.at(now + PLAN_PERIOD, self._tick)
        self._plan(now)

    def _wake(self, now: float) -> None:
        """Plan soon; several edges within LEAST_BETWEEN_PLANS share one plan."""
        self._ask_at(max(now + EDGE_LAG, self._planned_at + LEAST_BETWEEN_PLANS))

    def _ask_at(self, time: float) -> None:
        if time < self._due:
            self._due = time
            self._cluster.at(time, self._answer)

    def _answer(self, now: float) -> None:
        if now >= self._due:
            self._plan(now)

    def _plan(self, now: float) -> None:
        self._planned_at, self._due = now, float("inf")
        plan = self._policy(self._observe(now), now)
        self._measures.plans += 1
        self._execute(plan, now)
        self._memory = plan.memory or self._memory
        self._desired = plan.desired
        self._write_status(plan, now)
        if now < plan.due < now + PLAN_PERIOD:
            self._ask_at(max(plan.due, now + LEAST_BETWEEN_PLANS))

    def _observe(self, now: float) -> Snapshot:
        return Snapshot(
            effective=self._cluster.effective,
            pods=tuple(_observed(pod, now) for pod in self._cluster.alive),
            replicas=self._replicas,
            memory=self._memory,
            desired_before=self._desired,
        )

    def _execute(self, plan: Plan, now: float) -> None:
        pods = {pod.name: pod for pod in self._cluster.alive if pod.terminated_at is None}
        self._control(plan.lower, pods, now)
        for name in plan.resume:
            self._waiting.pop(name, None)
            if (pod := _reached(pods, name)) is not None:
                self._cluster.resume(pod, now)
                self._cluster.report(pod, now)
        for name in plan.quiesce:
            if (pod := _reached(pods, name)) is not None:
                self._quiesce(pod, now + IDLE_WITHIN_SECONDS if name in plan.patient else now, now)
        self._write_costs(plan.victims, VICTIM_COST, pods, now)
        self._write_costs(plan.pardoned, 0, pods, now)
        self._scale(plan.replicas, now)
        self._control(plan.controls, pods, now)
        for rebalance in plan.rebalance:
            if (pod := _reached(pods, rebalance.pod)) is not None:
                self._cluster.rebalance(pod, rebalance.share)
        in_service = sum(pod.accepts for pod in self._cluster.alive)
        self._measures.wanted(now, in_service, plan.decision)

    def _quiesce(self, pod: Pod, until: float, now: float) -> None:
        """Quiesce the pod, or let it look for a moment without a request."""
        if until > now and pod.load and pod.accepts:
            looks = pod.name in self._waiting
            self._waiting[pod.name] = until
            if not looks:
                self._cluster.at(now + IDLE_LOOK, lambda then: self._look(pod, then))
            return
        self._waiting.pop(pod.name, None)
        if pod.accepts:
            newest = max(self._cluster.endpoints, key=lambda each: each.created_at, default=pod)
            self._measures.quiesced(now, pod.busy, newest.busy)
        self._cluster.quiesce(pod, now)
        self._cluster.report(pod, now)

    def _look(self, pod: Pod, now: float) -> None:
        until = self._waiting.get(pod.name, now)
        if now < until and pod.load:
            self._cluster.at(now + IDLE_LOOK, lambda then: self._look(pod, then))
            return
        self._waiting.pop(pod.name, None)
        if now < until and pod.accepts:
            self._quiesce(pod, now, now)
            self._wake(now)

    def _control(self, controls: Iterable[Control], pods: dict[str, Pod], now: float) -> None:
        for control in controls:
            if (pod := _reached(pods, control.pod)) is not None:
                pod.control(control.changes)
                self._cluster.fill(pod, now)
                self._cluster.watch_queue(pod, now)
                self._cluster.report(pod, now)

    def _write_costs(self, names: Iterable[str], cost: int, pods: dict[str, Pod], now: float) -> None:
        for name in names:
            pod = pods.get(name)
            if pod is not None and pod.cost != cost:
                pod.cost, pod.cost_at = cost, now + WATCH_LAG
                self._measures.pod_writes += 1
                self._cluster.at(now + WATCH_LAG, self._wake)

    def _scale(self, replicas: int, now: float) -> None:
        if replicas != self._replicas:
            self._replicas = replicas
            self._measures.scale_writes += 1
        there = self._cluster.ordered_pods()
        for _ in range(replicas - there):
            self._cluster.create(now)
        if replicas < there:
            candidates = [pod for pod in self._cluster.alive if pod.terminated_at is None]
            for pod in sorted(candidates, key=_deletion_order)[: there - replicas]:
                self._cluster.terminate(pod, now)

    def _write_status(self, plan: Plan, now: float) -> None:
        ready = sum(pod.in_endpoints for pod in self._cluster.alive)
        status = (
            plan.desired,
            plan.replicas,
            ready,
            plan.threads_per_child,
            plan.decision.reason,
            tuple((condition.type, condition.status, condition.reason) for condition in plan.conditions),
        )
        if status != self._status and now - self._status_at >= STATUS_PERIOD:
            self._status, self._status_at = status, now
            self._measures.status_writes += 1


def _reached(pods: dict[str, Pod], name: str) -> Pod | None:
    """Return the pod that a control call reaches, if any: its supervisor is up."""
    pod = pods.get(name)
    if pod is None or pod.ready_at is None:
        return None
    pod.sequence += 1
    return pod


def _observed(pod: Pod, now: float) -> ObservedPod:
    seen = pod.cost_at is not None and pod.cost_at <= now
    return ObservedPod(
        name=pod.name,
        phase=pod.phase,
        created_at=pod.created_at,
        ready_at=pod.ready_at,
        report=pod.report,
        in_endpoints=pod.in_endpoints,
        deletion_cost=pod.cost if seen else 0,
        deletion_cost_at=pod.cost_at if seen else None,
    )


def _deletion_order(pod: Pod) -> tuple[bool, bool, int, float]:
    """The ReplicaSet controller's: pending first, then not ready, then the cheaper, then the younger."""
    return (
        pod.phase is not PodPhase.STARTING,
        pod.phase is not PodPhase.UNREADY,
        pod.cost,
        -(pod.ready_at or pod.created_at),
    )
