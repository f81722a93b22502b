"""A plan becomes writes and control calls, in the order of plan.py.

Every step may be repeated. A pod that does not take its call does not hold up the others; the step is told as
failed and the WebServer is planned again soon. Only two failures stop what follows: a ceiling that was not
lowered (no other may be raised on it) and a deletion cost that was not written (replicas may not be lowered).
Growth comes before all calls: new pods take only what was seen free, and need not wait for a pod's time-out.
Nor need those that shall serve again: they are told beside the pods that are cut.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mpm_operator.core.plan import IDLE_WITHIN_SECONDS, QUIESCE_TTL_SECONDS, VICTIM_COST
from mpm_operator.core.snapshot import PodState
from mpm_operator.manifests import scale

from .client import SCALE_MANAGER, APIError
from .observe import deletion_cost_of, replicas_of
from .resources import DELETION_COST, DEPLOYMENTS, PODS, name_of, uid_of
from .scoreboards import ControlRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

    from mpm_operator.core.plan import Control, Plan
    from mpm_operator.manifests import Owner

    from .caches import Caches
    from .client import Client
    from .resources import Key
    from .scoreboards import Scoreboards

logger = logging.getLogger(__name__)

RENEW_SECONDS = QUIESCE_TTL_SECONDS / 3
"""A quiesce is renewed so often: two renewals may be lost before the pod serves again."""


class StepFailed(Exception):
    """Some steps of the plan failed; the text names them. Plan again after a backoff."""

    def __init__(self, message: str, unable: Collection[str] = ()) -> None:
        super().__init__(message)
        self.unable = frozenset(unable)
        """Pods that understood what to change and can't."""


class PodsRefused(StepFailed):
    """Only pods did not take their calls: plan again as soon as the plan says, the others need it."""


class Executor:
    """Carries out plans; knows when it last renewed which quiesce."""

    def __init__(
        self,
        client: Client,
        caches: Caches,
        boards: Scoreboards,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._caches = caches
        self._boards = boards
        self._clock = clock
        self._renewed: dict[str, float] = {}

    async def execute(
        self,
        key: Key,
        owner: Owner,
        secrets: Sequence[bytes],
        plan: Plan,
        *,
        may_scale: bool,
        grown: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Do what the plan says; `grown` is called once there are more pods, before any is changed.

        Raises StepFailed or PodsRefused at the end when a step failed, Fenced at once.
        """
        run = _Run(self, key, secrets)
        if may_scale:
            await run.grow(owner, plan.replicas)
        if grown is not None:
            await grown()
        lowered = True
        if plan.lower or plan.resume:
            lowered, _ = await asyncio.gather(
                run.each(run.put(control) for control in plan.lower),
                run.each(run.post(name, "resume", {}) for name in plan.resume),
            )
        await run.each(run.quiesce(name, patient=name in plan.patient) for name in plan.quiesce)
        await run.each(run.price(name, None) for name in plan.pardoned)
        priced = await run.each(run.price(name, VICTIM_COST) for name in plan.victims)
        if may_scale and priced:
            await run.shrink(owner, plan.replicas)
        if lowered:
            await run.each(run.put(control) for control in plan.controls)
        await run.each(run.post(one.pod, "rebalance", {"share": one.share}) for one in plan.rebalance)
        self._renewed = {uid: at for uid, at in self._renewed.items() if at > self._clock() - 600}
        if run.failures:
            raise (PodsRefused if run.only_pods else StepFailed)("; ".join(run.failures), run.unable)

    async def control(
        self, uid: str, secrets: Sequence[bytes], method: str, path: str, body: dict[str, Any]
    ) -> None:
        await self._boards.control(uid, secrets, method, path, body)

    async def quiesce(self, uid: str, secrets: Sequence[bytes], *, patient: bool) -> None:
        """Quiesce the pod, or renew it when a third of its time is over; a patient one looks for a moment."""
        report = self._boards.report(uid)
        quiet = report is not None and report.state in (PodState.QUIESCING, PodState.DRAINED)
        now = self._clock()
        pause = RENEW_SECONDS if quiet else IDLE_WITHIN_SECONDS / 2 if patient else 0.0
        if now - self._renewed.get(uid, float("-inf")) < pause:
            return
        body: dict[str, float] = {"ttlSeconds": QUIESCE_TTL_SECONDS}
        if patient:
            body["idleWithinSeconds"] = IDLE_WITHIN_SECONDS
        await self.control(uid, secrets, "POST", "/control/quiesce", body)
        self._renewed[uid] = now

    async def price(self, key: Key, name: str, cost: int | None) -> None:
        """Write the pod's deletion cost; the cache learns it from the watch alone, which proves it."""
        pod = self._caches[PODS].get(key.namespace, name)
        if pod is None or deletion_cost_of(pod) == (cost or 0):
            return
        text = None if cost is None else str(cost)
        try:
            await self._client.merge(
                PODS, key.namespace, name, {"metadata": {"annotations": {DELETION_COST: text}}}
            )
        except APIError as error:
            if error.status != 404:
                raise

    async def scale(self, key: Key, owner: Owner, replicas: int) -> None:
        """Apply replicas, and nothing else, under a field manager of its own (decision 13)."""
        live = self._caches[DEPLOYMENTS].get(key.namespace, key.name)
        if live is None or replicas_of(live) == replicas:
            return
        body = scale(owner, replicas, deployment_uid=uid_of(live))
        answer = await self._client.apply(DEPLOYMENTS, body, manager=SCALE_MANAGER)
        self._caches[DEPLOYMENTS].put(answer)
        logger.info("%s: replicas %d -> %d", key, replicas_of(live), replicas)

    def uids(self, key: Key) -> dict[str, str]:
        """Return the UIDs of the WebServer's pods by their names."""
        return {name_of(pod): uid_of(pod) for pod in self._caches[PODS].of(key)}

    def replicas(self, key: Key) -> int | None:
        live = self._caches[DEPLOYMENTS].get(key.namespace, key.name)
        return replicas_of(live) if live is not None else None


class _Run:
    """One execution: collects what failed."""

    def __init__(self, executor: Executor, key: Key, secrets: Sequence[bytes]) -> None:
        self._executor = executor
        self._key = key
        self._secrets = secrets
        self.failures: list[str] = []
        self.only_pods = True
        """No failure was the API server's."""
        self.unable: set[str] = set()

    @cached_property
    def _uids(self) -> dict[str, str]:
        """Looked up when somebody is called: most plans call nobody."""
        return self._executor.uids(self._key)

    async def each(self, calls: Iterable[Awaitable[None]]) -> bool:
        """Make the calls of one step side by side; return whether all were taken.

        A gather of nothing still takes a round of the event loop, and most plans ask for nothing.
        """
        made = list(calls)
        results = await asyncio.gather(*made, return_exceptions=True) if made else ()
        good = True
        for result in results:
            if isinstance(result, ControlRefused | APIError):
                self.failures.append(str(result))
                self.only_pods &= isinstance(result, ControlRefused)
                good = False
            elif isinstance(result, BaseException):
                raise result
        return good

    async def put(self, control: Control) -> None:
        try:
            await self._to(control.pod, "PUT", "/control", dict(control.changes))
        except ControlRefused as error:
            if error.final:
                self.unable.add(control.pod)
            raise

    async def post(self, name: str, verb: str, body: dict[str, Any]) -> None:
        await self._to(name, "POST", f"/control/{verb}", body)

    async def quiesce(self, name: str, *, patient: bool) -> None:
        uid = self._uids.get(name)
        if uid is not None:
            await self._executor.quiesce(uid, self._secrets, patient=patient)

    async def price(self, name: str, cost: int | None) -> None:
        await self._executor.price(self._key, name, cost)

    async def grow(self, owner: Owner, replicas: int) -> None:
        now = self._executor.replicas(self._key)
        if now is not None and replicas > now:
            await self.each([self._executor.scale(self._key, owner, replicas)])

    async def shrink(self, owner: Owner, replicas: int) -> None:
        now = self._executor.replicas(self._key)
        if now is not None and replicas < now:
            await self.each([self._executor.scale(self._key, owner, replicas)])

    async def _to(self, name: str, method: str, path: str, body: dict[str, Any]) -> None:
        uid = self._uids.get(name)
        if uid is None:
            return
        try:
            await self._executor.control(uid, self._secrets, method, path, body)
        except ControlRefused as error:
            raise ControlRefused(f"pod {name}: {error}", final=error.final) from error
