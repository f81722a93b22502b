"""Observe, plan, execute: one WebServer, once. All it needs is in the caches; nothing is edge-triggered."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from mpm_operator.core.ceilings import refuse
from mpm_operator.core.conditions import accepted
from mpm_operator.core.directives import Correction, Effective, normalise
from mpm_operator.core.memory import Memory, fresh
from mpm_operator.core.plan import Condition, ConditionStatus, Decision, Note, Plan
from mpm_operator.core.planner import plan as make_plan
from mpm_operator.core.snapshot import PodState
from mpm_operator.core.spec import WebServerSpec
from mpm_operator.core.survey import SILENT_SECONDS
from mpm_operator.engines import engine as engine_named
from mpm_operator.manifests import Children, Owner, children, effective_status

from . import metrics
from . import status as shown
from .children import ChildRefused, NameConflict
from .execute import PodsRefused, StepFailed
from .observe import replicas_of
from .resources import CONFIGMAPS, DEPLOYMENTS, GENERATION_ANNOTATION, PODS, WEBSERVERS, name_of, uid_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mpm_operator.core.snapshot import Snapshot

    from .caches import Caches
    from .children import Applier
    from .events import Recorder
    from .execute import Executor
    from .keys import MasterKeys
    from .observe import Observer
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


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Whether the spec was accepted, in the words of the condition."""

    accepted: bool
    reason: str
    message: str
    untouchable: bool = False
    """Nothing at all may be changed: what is there is not ours."""

    @property
    def condition(self) -> Condition:
        status = ConditionStatus.TRUE if self.accepted else ConditionStatus.FALSE
        return Condition("Accepted", status, self.reason, self.message)

    @property
    def note(self) -> Note | None:
        if self.accepted and self.reason == "Valid":
            return None
        return Note("Normal" if self.accepted else "Warning", self.reason, self.message)


@dataclass(slots=True)
class Tools:
    """The services a reconciliation uses."""

    caches: Caches
    observer: Observer
    applier: Applier
    executor: Executor
    status: StatusWriter
    recorder: Recorder
    keys: MasterKeys
    default_image: str
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

        Raises StepFailed, APIError, Unreachable and Fenced: then come again after a backoff.
        """
        server = self._tools.caches[WEBSERVERS].get(key.namespace, key.name)
        if server is None or server["metadata"].get("deletionTimestamp"):
            self._forget(key)
            return None
        known = self._known.get(key)
        if known is None or known.uid != uid_of(server):
            known = self._known[key] = _Known(uid_of(server), fresh(self._tools.clock()))
        try:
            spec = msgspec.convert(server.get("spec") or {}, WebServerSpec)
        except msgspec.ValidationError as error:
            # The API server checks the schema; an object that was stored under an older one comes here.
            verdict = _Verdict(False, "InvalidSpec", f"the spec can't be read: {error}", untouchable=True)
            return await self._blocked(key, server, known, verdict)
        effective, corrections = normalise(spec)
        owner = Owner(key.name, key.namespace, known.uid)
        before = await self._tools.applier.standing(key, known.uid)
        verdict = _said_of(corrections)
        if not spec.paused:
            verdict = await self._children(key, owner, spec, effective, corrections, before)
        if verdict.untouchable or (before is None and (spec.paused or not verdict.accepted)):
            return await self._blocked(key, server, known, verdict)
        # A Deployment that was made a moment ago shows the API server's default of one replica: no fact yet.
        cached = self._tools.caches[DEPLOYMENTS].get(key.namespace, key.name)
        now = (cached or before) if before is not None else None
        snapshot = self._tools.observer.snapshot(key, server, spec, effective, known.memory, now)
        return await self._act(key, server, known, owner, snapshot, verdict)

    async def _act(
        self, key: Key, server: Object, known: _Known, owner: Owner, snapshot: Snapshot, verdict: _Verdict
    ) -> float:
        """Plan and carry out, and say in the status what was decided, whether or not it could be done."""
        plan = make_plan(snapshot, self._tools.clock())
        known.memory = plan.memory or known.memory
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s: %s for %s", key, plan.decision.reason, _summary(snapshot))
        failure: StepFailed | None = None
        if not snapshot.paused:
            secrets = self._tools.keys.of(known.uid).secrets
            may_scale = not snapshot.foreign_scaler
            try:
                await self._tools.executor.execute(key, owner, secrets, plan, may_scale=may_scale)
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
        effective: Effective,
        corrections: tuple[Correction, ...],
        running: Object | None,
    ) -> _Verdict:
        """Apply what differs; return what there is to say of the spec."""
        app_data = self._app_data(key, spec)
        if spec.app.config_map_ref is not None and app_data is None:
            name = spec.app.config_map_ref.name
            text = f"spec.app.configMapRef: ConfigMap `{name}` must exist in namespace `{key.namespace}`"
            return _Verdict(False, "ConfigMapNotFound", text)
        keys = self._tools.keys.of(owner.uid)
        try:
            engine = engine_named(spec.engine)
            built = children(
                owner,
                spec,
                effective,
                config=engine.config(spec, effective),
                rollout=engine.rollout(spec, effective),
                default_image=self._tools.default_image,
                keys=keys,
                app_data=app_data,
                running=running,
            )
        except Exception as error:
            # Told where the author of the spec looks; a log alone would leave the WebServer without a word.
            logger.exception("%s: the children could not be built", key)
            return _Verdict(False, "InternalError", f"the operator failed: {type(error).__name__}: {error}")
        try:
            rolls = running is not None and _rolls(running, built)
            recall = partial(self._recall, key, owner) if rolls else None
            applied = await self._tools.applier.apply(key, owner.uid, built.in_order(), recall)
        except PodsRefused as error:
            # The next turn recalls again; a victim that takes no call serves again when its quiesce ends.
            logger.warning("%s: not rolled out yet: %s", key, error)
            return _said_of(corrections, built.conflicts)
        except NameConflict as error:
            return _Verdict(False, "NameConflict", str(error), untouchable=True)
        except ChildRefused as error:
            if error.kind == DEPLOYMENTS:
                return _Verdict(False, "TemplateRefused", f"spec.podTemplate: {error.message}")
            return _Verdict(False, "ChildRefused", str(error))
        if applied:
            logger.info("%s: applied %s", key, ", ".join(applied))
        return _said_of(corrections, built.conflicts)

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

    def _app_data(self, key: Key, spec: WebServerSpec) -> Mapping[str, str] | None:
        """Return a digest for each file of the app's ConfigMap; None when there is none."""
        if spec.app.config_map_ref is None:
            return None
        body = self._tools.caches[CONFIGMAPS].get(key.namespace, spec.app.config_map_ref.name)
        if body is None:
            return None
        digests: Mapping[str, str] = body.get("digests") or (body.get("data") or {})
        return digests

    async def _blocked(self, key: Key, server: Object, known: _Known, verdict: _Verdict) -> float:
        """Say what somebody has to mend first; change nothing."""
        await self._tell(server, known, verdict)
        old = server.get("status") or {}
        generation = int(server["metadata"].get("generation") or 0)
        found = [verdict.condition, *_unknown(verdict)]
        kept = {name: old[name] for name in _KEPT_WHILE_BLOCKED if name in old}
        body = kept | {
            "conditions": shown.conditions(found, old, generation),
            "observedGeneration": generation,
        }
        again = await self._tools.status.write(server, body)
        later = self._tools.clock() + BLOCKED_SECONDS
        return min(later, again) if again is not None else later

    def _status(
        self, key: Key, server: Object, snapshot: Snapshot, plan: Plan, verdict: _Verdict
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
            "threadsPerChild": plan.threads_per_child,
            "workers": {
                "busy": plan.totals.busy,
                "idle": plan.totals.idle,
                "total": plan.totals.total,
                "queue": plan.totals.queue,
            },
            "effective": effective_status(snapshot.effective),
            "decision": shown.decision(plan.decision, old),
        }

    async def _say(self, server: Object, known: _Known, plan: Plan, verdict: _Verdict) -> None:
        await self._tell(server, known, verdict)
        for note in plan.notes:
            await self._tools.recorder.note(server, note)
        made: Decision = plan.decision
        if made.reason != known.reason:
            known.reason = made.reason
            metrics.DECISIONS.labels(made.reason).inc()
            meta = server["metadata"]
            logger.info("%s/%s: %s: %s", meta["namespace"], meta["name"], made.reason, made.message)

    async def _tell(self, server: Object, known: _Known, verdict: _Verdict) -> None:
        note = verdict.note
        if note is not None and note != known.said:
            await self._tools.recorder.note(server, note)
        known.said = note

    def _forget(self, key: Key) -> None:
        self._known.pop(key, None)
        self._tools.observer.forget(key)
        self._tools.applier.forget(key)
        self._tools.status.forget(key)


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


def _said_of(corrections: tuple[Correction, ...], conflicts: tuple[str, ...] = ()) -> _Verdict:
    """Return the verdict on a spec that takes effect: as it is, or corrected as httpd corrects."""
    said = accepted(corrections)
    if not conflicts:
        return _Verdict(True, said.reason, said.message)
    sentences = ([said.message] if corrections else []) + [f"{conflict}." for conflict in conflicts]
    return _Verdict(True, "Corrected", " ".join(sentences))


def _unknown(verdict: _Verdict) -> list[Condition]:
    """Return the other conditions of a WebServer that was not looked at any further."""
    ready = Condition("Ready", ConditionStatus.FALSE, verdict.reason, verdict.message)
    others = ("Available", "Progressing", "ScalingActive", "ScalingLimited", "Saturated")
    text = "not looked at: see Accepted"
    return [ready, *(Condition(kind, ConditionStatus.UNKNOWN, verdict.reason, text) for kind in others)]


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
    have = running["spec"]["template"]["metadata"].get("annotations") or {}
    want = built.deployment["spec"]["template"]["metadata"]["annotations"]
    return bool(have.get(GENERATION_ANNOTATION) != want[GENERATION_ANNOTATION])
