"""Observe, plan, execute: one WebServer, once. All it needs is in the caches; nothing is edge-triggered."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from mpm_operator.core.ceilings import refuse
from mpm_operator.core.directives import Correction, Effective, normalise
from mpm_operator.core.memory import Memory, fresh
from mpm_operator.core.plan import Decision, Note, Plan
from mpm_operator.core.planner import plan as make_plan
from mpm_operator.core.snapshot import PodPhase, PodState
from mpm_operator.core.spec import Resize, WebServerSpec
from mpm_operator.core.survey import SILENT_SECONDS
from mpm_operator.core.victims import busy_at_choice
from mpm_operator.manifests import Children, Owner, effective_status
from mpm_operator.manifests.pod import has_own_resources
from mpm_operator.manifests.rollout import generation_of

from . import metrics
from . import status as shown
from .build import NoCode
from .children import ChildRefused, NameConflict
from .client import APIError, Fenced, Unreachable
from .execute import PodsRefused, StepFailed
from .keys import BadMasterKey
from .observe import replicas_of
from .resources import DEPLOYMENTS, PODS, WEBSERVERS, name_of, uid_of
from .verdict import Defect, Verdict, defect, said_of, unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_operator.core.record import Ring
    from mpm_operator.core.snapshot import Snapshot

    from .build import Builder, Wanted
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


EXPECTED = (StepFailed, APIError, Unreachable, Fenced, BadMasterKey)
"""What a turn may fail by through no fault of its own."""


class _Done(msgspec.Struct, frozen=True):
    """What came of the children: what to say, and the directives that are in force."""

    verdict: Verdict
    effective: Effective
    rolled_back: str = ""
    in_force: bool = True
    """The Deployment has the template that these directives go with."""


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
        done = _Done(said_of(corrections), effective)
        if not spec.paused:
            replicas = None
            if before is None:
                first = self._tools.observer.snapshot(key, server, spec, effective, known.memory, None)
                replicas = make_plan(first, self._tools.clock()).replicas
            done = await self._children(key, owner, spec, known, before, replicas, done)
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
        again = await self._tools.status.write(server, self._status(key, server, snapshot, plan, verdict))
        if failure is not None and not isinstance(failure, PodsRefused):
            raise failure
        refusal = str(failure or "")
        if refusal and refusal != known.refusal:
            logger.warning("%s: %s", key, refusal)
        known.refusal = refusal
        return min(plan.due, again) if again is not None else plan.due

    async def _children(
        self,
        key: Key,
        owner: Owner,
        spec: WebServerSpec,
        known: _Known,
        running: Object | None,
        replicas: int | None,
        done: _Done,
    ) -> _Done:
        """Apply what differs; return what is in force and what there is to say of the spec."""
        if known.defect is not None and self._tools.clock() < known.defect.until:
            return replace(done, verdict=known.defect.verdict, in_force=False)
        try:
            wanted = self._tools.builder.build(key, owner, spec, running, replicas)
            done = _Done(done.verdict, wanted.effective, wanted.rolled_back)
            verdict = await self._apply(key, owner, wanted, running)
        except NoCode as error:
            return replace(done, verdict=Verdict(False, "ConfigMapNotFound", str(error)), in_force=False)
        except EXPECTED:
            raise
        except Exception as error:
            # The pods are there and go on being scaled; only what is new of the spec has to wait.
            logger.exception("%s: the children could not be brought into line", key)
            metrics.RECONCILES.labels("defect").inc()
            known.defect = Defect.after(known.defect, self._tools.clock(), defect(error))
            return replace(done, verdict=known.defect.verdict, in_force=False)
        known.defect = None
        live = self._tools.caches[DEPLOYMENTS].get(key.namespace, key.name)
        in_force = live is None or generation_of(live) == wanted.children.generation
        return replace(done, verdict=verdict, in_force=in_force)

    async def _apply(self, key: Key, owner: Owner, wanted: Wanted, running: Object | None) -> Verdict:
        built, corrections = wanted.children, wanted.corrections
        try:
            rolls = running is not None and _rolls(running, built)
            recall = partial(self._recall, key, owner) if rolls else None
            applied = await self._tools.applier.apply(key, owner.uid, built.in_order(), recall)
        except PodsRefused as error:
            # The next turn recalls again; a victim that takes no call serves again when its quiesce ends.
            logger.warning("%s: not rolled out yet: %s", key, error)
            return said_of(corrections, built.conflicts)
        except NameConflict as error:
            return Verdict(False, "NameConflict", str(error), untouchable=True)
        except ChildRefused as error:
            if error.kind == DEPLOYMENTS:
                return Verdict(False, "TemplateRefused", f"spec.podTemplate: {error.message}")
            return Verdict(False, "ChildRefused", str(error))
        if applied:
            logger.info("%s: applied %s", key, ", ".join(applied))
        return said_of(corrections, built.conflicts)

    async def _recall(self, key: Key, owner: Owner) -> None:
        """Let every victim serve again before the template changes (decision 3).

        A Deployment scales its ReplicaSets in proportion while it rolls, so nobody could say which pods went.
        A pod that is silent is not asked: its quiesce ends by itself.
        """
        quiet, called = [], []
        for pod in self._tools.caches[PODS].of(key):
            report = self._tools.observer.report(pod)
            if pod["metadata"].get("deletionTimestamp") or report is None or report.state not in _QUIET:
                continue
            quiet.append(name_of(pod))
            if self._tools.clock() - report.at <= SILENT_SECONDS:
                called.append(name_of(pod))
        if not quiet:
            return
        recall = Plan(desired=0, replicas=0, resume=tuple(called), pardoned=tuple(quiet))
        secrets = self._tools.keys.of(owner.uid).secrets
        await self._tools.executor.execute(key, owner, secrets, recall, may_scale=False)

    async def _blocked(self, key: Key, server: Object, known: _Known, verdict: Verdict) -> float:
        """Say what somebody has to mend first; change nothing."""
        await self._tell(server, known, verdict)
        old = server.get("status") or {}
        generation = int(server["metadata"].get("generation") or 0)
        found = [verdict.condition, *unknown(verdict)]
        kept = {name: old[name] for name in _KEPT_WHILE_BLOCKED if name in old}
        body = kept | {
            "conditions": shown.conditions(found, old, generation),
            "observedGeneration": generation,
        }
        again = await self._tools.status.write(server, body)
        later = self._tools.clock() + BLOCKED_SECONDS
        return min(later, again) if again is not None else later

    def _status(
        self, key: Key, server: Object, snapshot: Snapshot, plan: Plan, verdict: Verdict
    ) -> dict[str, Any]:
        old = server.get("status") or {}
        generation = int(server["metadata"].get("generation") or 0)
        deployment = self._tools.caches[DEPLOYMENTS].get(key.namespace, key.name)
        state = (deployment or {}).get("status") or {}
        found = [verdict.condition, *(one for one in plan.conditions if one.type != "Accepted")]
        return {
            "conditions": shown.conditions(found, old, generation),
            "observedGeneration": generation,
            "replicas": replicas_of(deployment) if deployment is not None else 0,
            "readyReplicas": int(state.get("readyReplicas") or 0),
            "desiredReplicas": plan.desired,
            "selector": ",".join(f"{k}={v}" for k, v in Owner(key.name, key.namespace, "").selector.items()),
            "threadsPerChild": _threads_seen(snapshot, plan),
            "workers": {
                "busy": plan.totals.busy,
                "idle": plan.totals.idle,
                "total": plan.totals.total,
                "queue": plan.totals.queue,
            },
            "effective": effective_status(snapshot.effective),
            "decision": shown.decision(plan.decision, old),
        }

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


_QUIET = (PodState.QUIESCING, PodState.DRAINED)
_KEPT_WHILE_BLOCKED = (
    "replicas",
    "readyReplicas",
    "desiredReplicas",
    "selector",
    "threadsPerChild",
    "workers",
    "effective",
    "decision",
)


def _count_victims(snapshot: Snapshot, plan: Plan) -> None:
    after = plan.memory.victims if plan.memory is not None else ()
    if not after:
        return
    count, busy, newest = busy_at_choice(snapshot.memory.victims, after, snapshot.pods)
    metrics.VICTIMS.inc(count)
    metrics.VICTIMS_BUSY.labels("chosen").inc(busy)
    metrics.VICTIMS_BUSY.labels("newest").inc(newest)


def _threads_seen(snapshot: Snapshot, plan: Plan) -> int:
    """Return ThreadsPerChild; a change is told when the last scoreboard shows it."""
    seen = [
        int(pod.report.settings["threadsPerChild"])
        for pod in snapshot.pods
        if pod.phase is not PodPhase.TERMINATING and pod.report and "threadsPerChild" in pod.report.settings
    ]
    wanted = plan.threads_per_child
    return next((threads for threads in seen if threads != wanted), wanted)


def _summary(snapshot: Snapshot) -> str:
    """Return what the planner looked at, in a line."""
    pods = []
    for pod in snapshot.pods:
        board = pod.report
        said = f"{board.state} {board.busy}/{board.idle}/{board.total}+{board.queue}" if board else "silent"
        pods.append(f"{pod.name} {pod.phase} {said}")
    return f"{snapshot.replicas} replicas: " + ", ".join(pods)


def _rolls(running: Object, built: Children) -> bool:
    """Return whether applying the children will make new pods."""
    return generation_of(running) != built.generation
