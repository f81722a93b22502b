"""The status: written on change only, at most once in five seconds an object.

Numbers that move all the time (busy, idle, queue, and the sentences they occur in) are no change by
themselves: they ride along with a real one, or move the status when they moved far. Fast data is in metrics
and streams.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import exp
from typing import TYPE_CHECKING

from mpm_operator.core.snapshot import PodPhase
from mpm_operator.manifests import Owner, effective_status

from .client import STATUS_MANAGER
from .observe import replicas_of
from .resources import WEBSERVERS, Key, name_of
from .verdict import unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mpm_operator.core.plan import Condition, Decision, Plan
    from mpm_operator.core.snapshot import Snapshot

    from .caches import Caches
    from .client import Client
    from .resources import Object
    from .verdict import Verdict

WRITE_EVERY_SECONDS = 5.0
WORKERS_EVERY_SECONDS = 30.0
WORKERS_SHARE = 0.2
"""Workers alone move the status when they changed by more than this share of the total."""
MEAN_SECONDS = 10.0
"""Time constant of the mean that is compared."""
MESSAGE_MOST = 2000

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Written:
    """When an object was last written, and its slots as they are on average."""

    at: float = float("-inf")
    mean: dict[str, float] = field(default_factory=dict)
    mean_at: float = 0.0


class StatusWriter:
    """Writes status; knows when it last did."""

    def __init__(self, client: Client, caches: Caches, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._caches = caches
        self._clock = clock
        self._written: dict[Key, _Written] = {}

    async def write(self, server: Object, status: Object) -> float | None:
        """Write when there is something new; return when to come back, for a write that has to wait."""
        meta = server["metadata"]
        key = Key(meta["namespace"], name_of(server))
        old = server.get("status") or {}
        written = self._written.setdefault(key, _Written())
        since = self._clock() - written.at
        self._follow(written, status.get("workers") or {})
        if not self._worth(old, status, written):
            return None
        if since < WRITE_EVERY_SECONDS:
            return self._clock() + WRITE_EVERY_SECONDS - since
        body = {
            "apiVersion": WEBSERVERS.api_version,
            "kind": WEBSERVERS.kind,
            "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
            "status": status,
        }
        answer = await self._client.apply(WEBSERVERS, body, manager=STATUS_MANAGER, subresource="status")
        written.at = self._clock()
        self._caches[WEBSERVERS].put(answer)
        return None

    def forget(self, key: Key) -> None:
        self._written.pop(key, None)

    def _follow(self, written: _Written, workers: Mapping[str, int]) -> None:
        """Move the mean: of a handful of slots, two looks at the same load differ by a fifth as a rule."""
        now = self._clock()
        weight: float = exp((written.mean_at - now) / MEAN_SECONDS)
        written.mean = {
            name: weight * written.mean.get(name, value) + (1 - weight) * value
            for name, value in workers.items()
        }
        written.mean_at = now

    def _worth(self, old: Object, new: Object, written: _Written) -> bool:
        if essence(old) != essence(new):
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug("status %s differs from %s", essence(new), essence(old))
            return True
        late = self._clock() - written.at >= WORKERS_EVERY_SECONDS
        return late and workers_moved(old.get("workers") or {}, written.mean)


def whole(
    key: Key, server: Object, deployment: Object | None, snapshot: Snapshot, plan: Plan, verdict: Verdict
) -> Object:
    """Return the status after a plan was carried out."""
    old = server.get("status") or {}
    generation = int(server["metadata"].get("generation") or 0)
    state = (deployment or {}).get("status") or {}
    found = [verdict.condition, *(one for one in plan.conditions if one.type != "Accepted")]
    return {
        "conditions": conditions(found, old, generation),
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
        "decision": decision(plan.decision, old),
    }


def blocked(server: Object, verdict: Verdict) -> Object:
    """Return the status of a WebServer that somebody has to mend first: what was seen last stays."""
    old = server.get("status") or {}
    generation = int(server["metadata"].get("generation") or 0)
    kept = {name: old[name] for name in _KEPT_WHILE_BLOCKED if name in old}
    return kept | {
        "conditions": conditions([verdict.condition, *unknown(verdict)], old, generation),
        "observedGeneration": generation,
    }


def conditions(found: Iterable[Condition], old: Object, generation: int) -> list[Object]:
    """Return the conditions with their times: `lastTransitionTime` moves only when the status flips."""
    before = {condition["type"]: condition for condition in old.get("conditions") or ()}
    written = []
    for condition in found:
        last = before.get(condition.type, {})
        flipped = last.get("status") != condition.status.value
        written.append(
            {
                "type": condition.type,
                "status": condition.status.value,
                "reason": condition.reason,
                "message": condition.message[:MESSAGE_MOST],
                "lastTransitionTime": now() if flipped else last["lastTransitionTime"],
                "observedGeneration": generation,
            }
        )
    return written


def decision(made: Decision, old: Object) -> Object:
    """Return the decision with its time, which moves when the reason does."""
    last = old.get("decision") or {}
    same = last.get("reason") == made.reason and last.get("time")
    return {
        "reason": made.reason,
        "message": made.message[:MESSAGE_MOST],
        "time": last["time"] if same else now(),
    }


def essence(status: Object) -> Object:
    """Return what makes a change of status worth a write.

    A condition's message counts only where it is about what somebody wrote (`Accepted`); elsewhere it repeats
    numbers that move with the load.
    """
    rest = {
        name: value for name, value in status.items() if name not in ("workers", "decision", "conditions")
    }
    rest["decision"] = (status.get("decision") or {}).get("reason")
    rest["conditions"] = {
        condition["type"]: (
            condition["status"],
            condition["reason"],
            condition.get("observedGeneration"),
            condition["message"] if condition["type"] == "Accepted" else "",
        )
        for condition in status.get("conditions") or ()
    }
    return rest


def workers_moved(old: Mapping[str, float], new: Mapping[str, float]) -> bool:
    """Return whether busy, idle, total or queue moved by more than a fifth of all slots."""
    most = WORKERS_SHARE * max(old.get("total", 0), new.get("total", 0), 1)
    return any(abs(value - old.get(name, 0)) > most for name, value in new.items())


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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


def _threads_seen(snapshot: Snapshot, plan: Plan) -> int:
    """Return ThreadsPerChild; a change is told when the last scoreboard shows it."""
    seen = [
        int(pod.report.settings["threadsPerChild"])
        for pod in snapshot.pods
        if pod.phase is not PodPhase.TERMINATING and pod.report and "threadsPerChild" in pod.report.settings
    ]
    wanted = plan.threads_per_child
    return next((threads for threads in seen if threads != wanted), wanted)
