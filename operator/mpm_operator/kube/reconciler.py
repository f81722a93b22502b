"""Observe, plan, execute: one WebServer, once. All it needs is in the caches; nothing is edge-triggered."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from mpm_operator.core.directives import Correction, Effective, normalise
from mpm_operator.core.grants import refuse
from mpm_operator.core.memory import Memory, fresh
from mpm_operator.core.planner import plan as make_plan
from mpm_operator.core.snapshot import PodPhase
from mpm_operator.core.spec import Resize, WebServerSpec
from mpm_operator.core.victims import busy_at_choice
from mpm_operator.manifests import Owner
from mpm_operator.manifests.pod import has_own_resources

from . import metrics
from . import status as shown
from .enforce import EXPECTED, Enforcer, InForce
from .execute import PodsRefused, StepFailed
from .replicas import Left
from .resources import DEPLOYMENTS, WEBSERVERS, uid_of
from .verdict import Defect, Verdict, defect, said_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_operator.core.plan import Decision, Note, Plan
    from mpm_operator.core.record import Ring
    from mpm_operator.core.snapshot import Snapshot

    from .build import Builder
    from .caches import Caches
    from .children import Applier
    from .events import Recorder
    from .execute import Executor
    from .keys import MasterKeys
    from .observe import Observer
    from .resize import Resizer
    from .resources import Key, Object
    from .status import StatusWriter

logger = logging.getLogger(__name__)

BLOCKED_SECONDS = 10.0
"""When to look again at a WebServer that somebody has to mend first, if no watch tells earlier."""


@dataclass(slots=True)
class _Known:
    """What is remembered of one WebServer between two reconciliations."""

    uid: str
    memory: Memory
    reason: str = ""
    """Of the last decision."""
    said: Note | None = None
    """The last Event about the spec."""
    refusal: str = ""
    """What pods refused last time; logged when it changes, for it is tried again every turn."""
    defect: Defect | None = None
    left: Left | None = None
    """The replicas that the last turn found, and those it asked for."""
    _asked: tuple[Object, tuple[WebServerSpec, Effective, tuple[Correction, ...]]] | None = None

    def asked(self, server: Object) -> tuple[WebServerSpec, Effective, tuple[Correction, ...]]:
        """Return the spec, and what `normalise` makes of it; read when it changes. Raises ValidationError."""
        body = server.get("spec") or {}
        if self._asked is None or self._asked[0] != body:
            spec = msgspec.convert(body, WebServerSpec)
            self._asked = (body, (spec, *normalise(spec)))
        return self._asked[1]


@dataclass(slots=True)
class Tools:
    """The services a reconciliation uses."""

    caches: Caches
    observer: Observer
    applier: Applier
    executor: Executor
    status: StatusWriter
    recorder: Recorder
    resizer: Resizer
    keys: MasterKeys
    builder: Builder
    ring: Ring
    clock: Callable[[], float] = field(default=time.monotonic)


class Reconciler:
    """Brings WebServers from what is there to what is wanted, one step a call."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._enforcer = Enforcer(tools)
        self._known: dict[Key, _Known] = {}

    def reset(self) -> None:
        """Forget what was planned: another operator has acted meanwhile."""
        self._known.clear()

    async def reconcile(self, key: Key) -> float | None:
        """Do what there is to do; return when to come again, None when the WebServer is gone.

        Raises StepFailed, APIError, Unreachable and Fenced: then come again after a backoff. Anything else
        raised is a defect of ours, told in the condition as well.
        """
        server = self._tools.caches[WEBSERVERS].get(key.namespace, key.name)
        if server is None or server["metadata"].get("deletionTimestamp"):
            self._forget(key)
            return None
        known = self._known.get(key)
        if known is None or known.uid != uid_of(server):
            known = self._known[key] = _Known(uid_of(server), fresh(self._tools.clock()))
        try:
            return await self._turn(key, server, known)
        except EXPECTED:
            raise
        except Exception as error:
            with suppress(*EXPECTED):
                await self._blocked(key, server, known, defect(error))
            raise

    async def _turn(self, key: Key, server: Object, known: _Known) -> float:
        try:
            spec, effective, corrections = known.asked(server)
        except msgspec.ValidationError as error:
            # The API server checks the schema; an object that was stored under an older one comes here.
            verdict = Verdict(False, "InvalidSpec", f"the spec can't be read: {error}", untouchable=True)
            return await self._blocked(key, server, known, verdict)
        owner = Owner(key.name, key.namespace, known.uid)
        before = await self._tools.applier.standing(key, known.uid)
        done = InForce(said_of(corrections), effective, defect=known.defect)
        if not spec.paused:
            replicas = None
            if before is None:
                first = self._tools.observer.snapshot(key, server, spec, effective, known.memory, None)
                replicas = make_plan(first, self._tools.clock()).replicas
            done = await self._enforcer.enforce(key, owner, spec, before, replicas, done)
            known.defect = done.defect
        verdict = done.verdict
        if verdict.untouchable or (before is None and (spec.paused or not verdict.accepted)):
            return await self._blocked(key, server, known, verdict)
        # What a new Deployment asks for was planned with what was there before it.
        cached = self._tools.caches[DEPLOYMENTS].get(key.namespace, key.name)
        now = (cached or before) if before is not None else None
        snapshot = self._tools.observer.snapshot(
            key, server, spec, done.effective, known.memory, now, done.rolled_back, in_force=done.in_force
        )
        return await self._act(key, server, spec, known, owner, snapshot, verdict)

    async def _resize(
        self, key: Key, spec: WebServerSpec, snapshot: Snapshot, plan: Plan, verdict: Verdict
    ) -> Verdict:
        """Give the pods what their threads need, before they get the threads; say what is in the way."""
        if spec.scaling.resize is not Resize.IN_PLACE or has_own_resources(spec):
            return verdict
        names = {pod.name for pod in snapshot.pods if pod.current and pod.phase is PodPhase.READY}
        threads = plan.threads_per_child
        told = await self._tools.resizer.follow(key, snapshot.effective.processes_per_pod, threads, names)
        if not told or not verdict.accepted:
            return verdict
        return verdict.and_also(f"spec.scaling.resize: pods keep the resources they have ({told}).")

    async def _act(
        self,
        key: Key,
        server: Object,
        spec: WebServerSpec,
        known: _Known,
        owner: Owner,
        snapshot: Snapshot,
        verdict: Verdict,
    ) -> float:
        """Plan and carry out, and say in the status what was decided, whether or not it could be done."""
        now = self._tools.clock()
        plan = make_plan(snapshot, now)
        self._tools.ring.add(str(key), time.time(), now, snapshot, plan)
        _count_victims(snapshot, plan)
        known.memory = plan.memory or known.memory
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s: %s for %s", key, plan.decision.reason, _summary(snapshot))
        failure: StepFailed | None = None

        async def resize() -> None:
            nonlocal verdict
            verdict = await self._resize(key, spec, snapshot, plan, verdict)

        deployment = self._tools.caches[DEPLOYMENTS].get(key.namespace, key.name)
        overwritten = known.left.overwritten(deployment) if known.left is not None else None
        if overwritten is not None and not (snapshot.paused or snapshot.foreign_scaler):
            await self._tools.recorder.note(server, overwritten)
        known.left = Left.of(deployment, plan.replicas)
        if not snapshot.paused:
            secrets = self._tools.keys.of(known.uid).secrets
            may_scale = not snapshot.foreign_scaler
            try:
                await self._tools.executor.execute(
                    key, owner, secrets, plan, may_scale=may_scale, grown=resize
                )
            except StepFailed as error:
                failure = error
                grants = refuse(known.memory.grants, error.unable)
                known.memory = replace(known.memory, grants=grants)
        await self._say(server, known, plan, verdict)
        deployment = self._tools.caches[DEPLOYMENTS].get(key.namespace, key.name)
        status = shown.whole(key, server, deployment, snapshot, plan, verdict)
        again = await self._tools.status.write(server, status)
        if failure is not None and not isinstance(failure, PodsRefused):
            raise failure
        refusal = str(failure or "")
        if refusal and refusal != known.refusal:
            logger.warning("%s: %s", key, refusal)
        known.refusal = refusal
        return min(plan.due, again) if again is not None else plan.due

    async def _blocked(self, key: Key, server: Object, known: _Known, verdict: Verdict) -> float:
        """Say what somebody has to mend first; change nothing."""
        await self._tell(server, known, verdict)
        again = await self._tools.status.write(server, shown.blocked(server, verdict))
        later = self._tools.clock() + BLOCKED_SECONDS
        return min(later, again) if again is not None else later

    async def _say(self, server: Object, known: _Known, plan: Plan, verdict: Verdict) -> None:
        await self._tell(server, known, verdict)
        for note in plan.notes:
            await self._tools.recorder.note(server, note)
        made: Decision = plan.decision
        if made.reason != known.reason:
            known.reason = made.reason
            metrics.DECISIONS.labels(made.reason).inc()
            meta = server["metadata"]
            logger.info("%s/%s: %s: %s", meta["namespace"], meta["name"], made.reason, made.message)

    async def _tell(self, server: Object, known: _Known, verdict: Verdict) -> None:
        note = verdict.note
        if note is not None and note != known.said:
            await self._tools.recorder.note(server, note)
        known.said = note

    def _forget(self, key: Key) -> None:
        self._known.pop(key, None)
        self._tools.observer.forget(key)
        self._tools.applier.forget(key)
        self._tools.builder.forget(key)
        self._tools.status.forget(key)
        self._tools.resizer.forget(key)
        self._tools.ring.forget(str(key))


def _count_victims(snapshot: Snapshot, plan: Plan) -> None:
    after = plan.memory.victims if plan.memory is not None else ()
    if not after:
        return
    count, busy, newest = busy_at_choice(snapshot.memory.victims, after, snapshot.pods)
    metrics.VICTIMS.inc(count)
    metrics.VICTIMS_BUSY.labels("chosen").inc(busy)
    metrics.VICTIMS_BUSY.labels("newest").inc(newest)


def _summary(snapshot: Snapshot) -> str:
    """Return what the planner looked at, in a line."""
    pods = []
    for pod in snapshot.pods:
        board = pod.report
        said = f"{board.state} {board.busy}/{board.idle}/{board.total}+{board.queue}" if board else "silent"
        pods.append(f"{pod.name} {pod.phase} {said}")
    return f"{snapshot.replicas} replicas: " + ", ".join(pods)
