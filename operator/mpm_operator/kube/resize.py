"""CPU and memory of running pods follow their threads, in place, where the cluster can (KEP-1287).

Only the resources that the operator chose itself: who writes some into `spec.podTemplate` keeps those. The
memory limit is never lowered under a running pod, because what a server had it does not give back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mpm_operator.manifests.pod import CONTAINER, resources

from .client import APIError
from .resources import PODS, name_of, uid_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from .caches import Caches
    from .client import Client
    from .resources import Key, Object

logger = logging.getLogger(__name__)

RETRY_SECONDS = 60.0
"""A pod that could not be resized is asked again after so long."""
TOLERANCE = 0.1
"""Less of a difference is not worth a write."""

_UNITS = {"m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 1e3, "M": 1e6, "G": 1e9}


class Resizer:
    """Asks for resizes; remembers which pods could not be."""

    def __init__(self, client: Client, caches: Caches, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._caches = caches
        self._clock = clock
        self._failed: dict[str, tuple[float, str]] = {}
        """By pod UID: when, and what the API server said."""

    async def follow(self, key: Key, processes: int, threads: int, names: Collection[str]) -> str:
        """Bring the pods called `names` to what `threads` need; return what keeps a pod from it."""
        wanted = resources(processes, threads)
        bodies = [body for body in self._caches[PODS].of(key) if name_of(body) in names]
        now = self._clock()
        self._failed = {uid: told for uid, told in self._failed.items() if now - told[0] < RETRY_SECONDS}
        asked = [(body, ask) for body in bodies if (ask := missing(_resources(body), wanted))]
        await asyncio.gather(*(self._ask(*one) for one in asked if uid_of(one[0]) not in self._failed))
        told = [said for body in bodies if (said := self._said(body))]
        return told[0] if told else ""

    async def _ask(self, body: Object, ask: Object) -> None:
        try:
            answer = await self._client.resize(body["metadata"]["namespace"], name_of(body), CONTAINER, ask)
        except APIError as error:
            if error.status == 409:
                return
            words = {403: "the operator may not", 404: "the cluster cannot"}.get(error.status, "refused")
            self._failed[uid_of(body)] = (self._clock(), f"{words}: {error.message}")
        else:
            logger.info("pod %s: resources %s", name_of(body), ask)
            self._caches[PODS].put(answer)

    def _said(self, body: Object) -> str:
        """Return why the pod does not have what it was to get, in Kubernetes' words."""
        for condition in (body.get("status") or {}).get("conditions") or ():
            if condition["type"] == "PodResizePending" and condition["status"] == "True":
                return f"{condition.get('reason')}: {condition.get('message')}"
        return self._failed.get(uid_of(body), (0.0, ""))[1]


def missing(have: Object, wanted: Object) -> Object:
    """Return the resources to ask for, or nothing when what is there will do."""
    ask: Object = {}
    for kind, amounts in wanted.items():
        for name, text in amounts.items():
            now, then = amount((have.get(kind) or {}).get(name)), amount(text)
            if then < now and kind == "limits":
                continue
            if abs(then - now) > TOLERANCE * now:
                ask.setdefault(kind, {})[name] = text
    return ask


@lru_cache(maxsize=4096)
def amount(text: Any) -> float:
    """Return a Kubernetes quantity as a number; nothing is 0."""
    written = str(text or "0")
    for unit in sorted(_UNITS, key=len, reverse=True):
        if written.endswith(unit):
            return float(written.removesuffix(unit)) * _UNITS[unit]
    return float(written)


def _resources(body: Object) -> Object:
    containers = (body.get("spec") or {}).get("containers") or ()
    found: Object = next((one["resources"] for one in containers if one["name"] == CONTAINER), {})
    return found
