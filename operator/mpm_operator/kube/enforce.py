"""The children are brought into line with the spec; what came of it is what is in force.

A template that would make new pods waits until every victim serves again; what the API server refuses, and a
defect of our own, hold back only what is new of the spec: the pods go on being looked after.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from mpm_operator.core.plan import Plan
from mpm_operator.core.snapshot import PodState
from mpm_operator.core.survey import SILENT_SECONDS
from mpm_operator.manifests.rollout import generation_of

from . import metrics
from .build import NoCode
from .children import ChildRefused, NameConflict
from .client import APIError, Fenced, Unreachable
from .execute import PodsRefused, StepFailed
from .keys import BadMasterKey
from .resources import DEPLOYMENTS, PODS, name_of
from .verdict import Defect, Verdict, defect, said_of

if TYPE_CHECKING:
    from mpm_operator.core.effective import Effective
    from mpm_operator.core.spec import WebServerSpec
    from mpm_operator.manifests import Children, Owner

    from .build import Wanted
    from .reconciler import Tools
    from .resources import Key, Object

logger = logging.getLogger(__name__)

EXPECTED = (StepFailed, APIError, Unreachable, Fenced, BadMasterKey)
"""What a turn may fail by through no fault of its own."""


class InForce(msgspec.Struct, frozen=True):
    """What came of the children: what to say, and the directives that are in force."""

    verdict: Verdict
    effective: Effective
    rolled_back: str = ""
    in_force: bool = True
    """The Deployment has the template that these directives go with."""
    defect: Defect | None = None
    """Why nothing was tried, or tried in vain, through a fault of ours."""


class Enforcer:
    """Applies what differs; remembers nothing."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def enforce(
        self,
        key: Key,
        owner: Owner,
        spec: WebServerSpec,
        running: Object | None,
        replicas: int | None,
        asked: InForce,
    ) -> InForce:
        """Return what is in force and what there is to say of the spec.

        asked: what would be said if nothing differed, with the defect of the last turn. Raises EXPECTED.
        """
        last = asked.defect
        if last is not None and self._tools.clock() < last.until:
            return replace(asked, verdict=last.verdict, in_force=False)
        done = replace(asked, defect=None)
        try:
            wanted = self._tools.builder.build(key, owner, spec, running, replicas)
            done = replace(done, effective=wanted.effective, rolled_back=wanted.rolled_back)
            verdict = await self._apply(key, owner, wanted, running)
        except NoCode as error:
            return replace(done, verdict=Verdict(False, "ConfigMapNotFound", str(error)), in_force=False)
        except EXPECTED:
            raise
        except Exception as error:
            # The pods are there and go on being scaled; only what is new of the spec has to wait.
            logger.exception("%s: the children could not be brought into line", key)
            metrics.RECONCILES.labels("defect").inc()
            again = Defect.after(last, self._tools.clock(), defect(error))
            return replace(done, verdict=again.verdict, in_force=False, defect=again)
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


_QUIET = (PodState.QUIESCING, PodState.DRAINED)


def _rolls(running: Object, built: Children) -> bool:
    """Return whether applying the children will make new pods."""
    return generation_of(running) != built.generation
