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

from .client import APIError, Unreachable
from .resources import PODS, name_of, uid_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from .caches import Caches
    from .client import Client
    from .resources import Key, Object

logger = logging.getLogger(__name__)

RETRY_SECONDS = 60.0
"""A pod that could not be resized is asked again after so long, and none is asked the same before."""
MOST_A_TURN = 8
"""Resizes that one turn asks for; the other pods' come with the next turns."""
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
        self._asked: dict[str, tuple[float, Object]] = {}
        """By pod UID: when, and for what. An older watch event may overtake the answer."""
        self._content: dict[Key, dict[str, tuple[Object, tuple[int, int]]]] = {}
        """By pod UID: what has all it needs for so many processes and threads. A cached object is another one
        whenever anything about it changed, so the same one need not be read again."""

    def forget(self, key: Key) -> None:
        self._content.pop(key, None)

    async def follow(self, key: Key, processes: int, threads: int, names: Collection[str]) -> str:
        """Bring the pods called `names` to what `threads` need; return what keeps a pod from it."""
        known, size = self._content.get(key, {}), (processes, threads)
        content = self._content[key] = {}
        wanted, now = resources(processes, threads), self._clock()
        self._failed = {uid: why for uid, why in self._failed.items() if now - why[0] < 2 * RETRY_SECONDS}
        self._asked = {uid: one for uid, one in self._asked.items() if now - one[0] < RETRY_SECONDS}
        asked: list[tuple[Object, Object]] = []
        told = ""
        for body in self._caches[PODS].of(key):
            uid = uid_of(body)
            if name_of(body) not in names:
                continue
            same = known.get(uid)
            if same is not None and same[0] is body and same[1] == size:
                content[uid] = same
                continue
            ask = missing(_resources(body), wanted)
            failed_at, failure = self._failed.get(uid, (float("-inf"), ""))
            why = _pending(body) or (failure if ask else "")
            again = uid in self._asked and self._asked[uid][1] == ask
            if ask and not again and now - failed_at >= RETRY_SECONDS and len(asked) < MOST_A_TURN:
                self._asked[uid] = (now, ask)
                asked.append((body, ask))
            elif not ask and not why:
                content[uid] = (body, size)
            told = told or why
        if asked:
            await asyncio.gather(*(self._ask(*one) for one in asked))
        return told

    async def _ask(self, body: Object, ask: Object) -> None:
        try:
            answer = await self._client.resize(body["metadata"]["namespace"], name_of(body), CONTAINER, ask)
        except APIError as error:
            if error.status == 409:
                return
            words = {403: "the operator may not", 404: "the cluster cannot"}.get(error.status, "refused")
            self._failed[uid_of(body)] = (self._clock(), f"{words}: {error.message}")
        except Unreachable as error:
            # Serving goes on without; a turn that ended here would leave out what matters more.
            self._failed[uid_of(body)] = (self._clock(), f"no answer: {error}")
        else:
            logger.info("pod %s: resources %s", name_of(body), ask)
            self._caches[PODS].put(answer)


def _pending(body: Object) -> str:
    """Return why the kubelet has not given the pod what it was to get, in its words."""
    for condition in (body.get("status") or {}).get("conditions") or ():
        if condition["type"] == "PodResizePending" and condition["status"] == "True":
            return f"{condition.get('reason')}: {condition.get('message')}"
    return ""


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
