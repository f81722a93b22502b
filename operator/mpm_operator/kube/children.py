"""The children as they should be against the children as they are: apply only what differs.

The server answers an apply with its own spelling of our values (quantities, defaults), so drift is judged on
the fields we set, against the server's spelling of them from the last apply; and on keys that only we write
and set no more: a control key that was given up must go. Steady state costs no call.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from mpm_operator.manifests import Owner, scale

from .client import SCALE_MANAGER, APIError
from .observe import replicas_of
from .resources import (
    BUDGETS,
    CONFIGMAPS,
    DEPLOYMENTS,
    GROUP,
    SECRETS,
    SERVICES,
    controlled_by,
    name_of,
    uid_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from .caches import Caches
    from .client import Client
    from .resources import Key, Kind, Object

KINDS = {kind.kind: kind for kind in (CONFIGMAPS, SECRETS, SERVICES, BUDGETS, DEPLOYMENTS)}
RETRY_REFUSED_SECONDS = 30.0
REFUSALS = (400, 403, 422)
"""Answers that the same request would get again."""
MISREADINGS = ("typed patch object", "unable to convert unstructured")
"""Words of a server that cannot read a value (a list for a text, a quantity that is none): it says 500."""


class NameConflict(Exception):
    """Objects with our children's names belong to somebody else (decision 13)."""


class ChildRefused(Exception):
    """The API server does not take a child; `message` is its own."""

    def __init__(self, kind: Kind, name: str, message: str) -> None:
        super().__init__(f"{kind.kind} `{name}`: {message}")
        self.kind = kind
        self.message = message


@dataclass(frozen=True, slots=True)
class _Applied:
    """What the last apply asked for, how the server spelled it, and what it left that somebody else owns."""

    digest: str
    answer: Any
    others: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Refusal:
    digest: str
    message: str
    at: float


class Applier:
    """Applies children; knows what it applied last."""

    def __init__(self, client: Client, caches: Caches, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._caches = caches
        self._clock = clock
        self._applied: dict[tuple[Kind, str, str], _Applied] = {}
        self._refused: dict[tuple[Kind, str, str], _Refusal] = {}
        self._alike: dict[tuple[Kind, str, str], tuple[Object, Object]] = {}
        """What was found alike last: the child as it should be, and the cached object. Neither is changed in
        place, so while both are the same there is nothing to compare: most of a fleet is at rest."""

    async def apply(
        self,
        key: Key,
        owner_uid: str,
        manifests: Iterable[Object],
        prepare: Callable[[], Awaitable[None]] | None = None,
    ) -> list[str]:
        """Bring the children into line; return what was applied, as `Kind/name`.

        `prepare` is run before the first change, when the server is known to take the Deployment.
        Raises NameConflict or ChildRefused; when it is the Deployment that was refused, nothing was changed.
        """
        wanted = [(KINDS[body["kind"]], body) for body in manifests]
        differing = [(kind, body) for kind, body in wanted if self._differs(kind, body)]
        await self._check_owners(key, owner_uid, wanted)
        for kind, body in differing:
            if kind == DEPLOYMENTS:
                # Its template holds what users write freely: asked for before anything is changed.
                answer = await self._write(kind, body, dry_run=True)
                await self._keep_replicas(body, answer)
        if prepare is not None:
            await prepare()
        for kind, body in differing:
            answer = await self._write(kind, body)
            meta = body["metadata"]
            self._applied[kind, meta["namespace"], meta["name"]] = _Applied(
                digest(body), spelled(body, answer), leftovers(body, answer)
            )
            self._caches[kind].put(answer)
        return [f"{kind.kind}/{name_of(body)}" for kind, body in differing]

    async def _keep_replicas(self, body: Object, answer: Object) -> None:
        """Own the replicas of a Deployment that was made with them, before an apply without them lets go.

        Nobody's field falls back to one pod.
        """
        meta = body["metadata"]
        live = self._caches[DEPLOYMENTS].get(meta["namespace"], meta["name"])
        if live is None:
            # One that lost our label is in no cache.
            live = await self._client.get(DEPLOYMENTS, meta["namespace"], meta["name"])
        if live is None or replicas_of(answer) == replicas_of(live):
            return
        owner = Owner(meta["name"], meta["namespace"], "")
        version = str(live["metadata"]["resourceVersion"])
        pinned = scale(owner, replicas_of(live), deployment_uid=uid_of(live), version=version)
        self._caches[DEPLOYMENTS].put(await self._client.apply(DEPLOYMENTS, pinned, manager=SCALE_MANAGER))

    async def standing(self, key: Key, owner_uid: str) -> Object | None:
        """Return the WebServer's Deployment if there is one.

        One that lost our label is in no cache, and yet it runs: what its pods are goes on counting.
        """
        cached = self._caches[DEPLOYMENTS].get(key.namespace, key.name)
        if cached is not None:
            return cached
        live = await self._client.get(DEPLOYMENTS, key.namespace, key.name)
        return live if live is not None and controlled_by(live, owner_uid) else None

    async def _write(self, kind: Kind, body: Object, *, dry_run: bool = False) -> Object:
        """Apply the child; what the server refused is not sent again for a while. Raises ChildRefused."""
        meta = body["metadata"]
        place = (kind, meta["namespace"], meta["name"])
        last, wanted = self._refused.get(place), digest(body)
        if last is not None and last.digest == wanted and self._clock() - last.at < RETRY_REFUSED_SECONDS:
            raise ChildRefused(kind, meta["name"], last.message)
        try:
            answer = await self._apply(kind, body, dry_run=dry_run)
        except APIError as error:
            if not _is_refusal(error):
                raise
            self._refused[place] = _Refusal(wanted, error.message, self._clock())
            raise ChildRefused(kind, meta["name"], error.message) from error
        self._refused.pop(place, None)
        return answer

    async def _apply(self, kind: Kind, body: Object, *, dry_run: bool) -> Object:
        """Apply the child.

        Somebody may have edited the key of a list's entry (the number of a port): an apply keeps theirs
        beside ours, and the two can clash. Then the lists are replaced as a whole first, which no apply can.
        """
        try:
            return await self._client.apply(kind, body, dry_run=dry_run)
        except APIError as error:
            meta = body["metadata"]
            if error.status != 422 or self._caches[kind].get(meta["namespace"], meta["name"]) is None:
                raise
            patch = {name: value for name, value in body.items() if name in ("spec", "data")}
            try:
                answer = await self._client.merge(
                    kind, meta["namespace"], meta["name"], patch, dry_run=dry_run
                )
            except APIError:
                raise error from None
        return answer if dry_run else await self._client.apply(kind, body)

    def forget(self, key: Key) -> None:
        names = (key.name, f"{key.name}-mpm", f"{key.name}-mpm-control")
        for kind in KINDS.values():
            for name in names:
                self._applied.pop((kind, key.namespace, name), None)
                self._refused.pop((kind, key.namespace, name), None)
                self._alike.pop((kind, key.namespace, name), None)

    def _differs(self, kind: Kind, body: Object) -> bool:
        meta = body["metadata"]
        live = self._caches[kind].get(meta["namespace"], meta["name"])
        if live is None or live["metadata"].get("deletionTimestamp"):
            return live is None
        place = (kind, meta["namespace"], meta["name"])
        alike = self._alike.get(place)
        if alike is not None and alike[1] is live and alike[0] == body:
            return False
        last = self._applied.get(place)
        wanted = {name: value for name, value in body.items() if name not in ("apiVersion", "kind")}
        now, left = spelled(wanted, live), leftovers(body, live)
        if last is not None and last.digest == digest(body):
            wanted = {name: last.answer[name] for name in wanted}
            left -= last.others
        if left or now != wanted:
            return True
        self._alike[place] = (body, live)
        return False

    async def _check_owners(self, key: Key, uid: str, wanted: list[tuple[Kind, Object]]) -> None:
        strangers = []
        for kind, body in wanted:
            meta = body["metadata"]
            live = self._caches[kind].get(meta["namespace"], meta["name"])
            if live is None:
                # A stranger without our labels is in no cache of ours; an apply would take it over.
                live = await self._client.get(kind, meta["namespace"], meta["name"])
            if live is not None and not controlled_by(live, uid):
                strangers.append(f"{kind.kind} `{name_of(live)}`{_whose(live)}")
        if strangers:
            raise NameConflict(
                f"{', '.join(strangers)} must be renamed or deleted: WebServer `{key.name}` needs the name "
                "and does not touch what is not its own"
            )


def _is_refusal(error: APIError) -> bool:
    return error.status in REFUSALS or any(words in error.message for words in MISREADINGS)


def digest(body: Any) -> str:
    return sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def spelled(wanted: Any, live: Any) -> Any:
    """Return what `live` holds where `wanted` says something: same shape, the server's values.

    A Deployment that goes on has no `paused`. Anything else that is false and left out is drift: absence
    often means true. Lists of named things (containers, volumes, ports) are matched by name, so that
    another's entry is no drift; lists of anything else are compared as a whole, entry by entry.
    """
    if isinstance(wanted, dict) and isinstance(live, dict):
        return {
            key: bool(live.get(key)) if key == "paused" and value is False else spelled(value, live.get(key))
            for key, value in wanted.items()
        }
    if isinstance(wanted, list) and isinstance(live, list):
        if wanted and all(_is_named(entry) for entry in wanted):
            named = {entry["name"]: entry for entry in live if _is_named(entry)}
            return [spelled(entry, named.get(entry["name"])) for entry in wanted]
        if len(wanted) == len(live):
            return [spelled(one, other) for one, other in zip(wanted, live, strict=True)]
    return live


def leftovers(wanted: Object, live: Object) -> frozenset[str]:
    """Return the keys that `live` has and `wanted` has no more, where only an operator writes.

    That is the data of Secrets and ConfigMaps, and annotations of our domain.
    """
    data = live.get("data") or {}
    notes = live["metadata"].get("annotations") or {}
    ours = {name for name in notes if name.startswith(f"{GROUP}/")}
    kept = wanted["metadata"].get("annotations") or {}
    return frozenset((data.keys() - (wanted.get("data") or {}).keys()) | (ours - kept.keys()))


def _is_named(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("name"), str)


def _whose(live: Object) -> str:
    owner = next(
        (owner for owner in live["metadata"].get("ownerReferences") or () if owner.get("controller")), None
    )
    if owner is None:
        return ""
    if owner.get("kind") == "WebServer":
        return f" (of an earlier WebServer, UID {owner.get('uid')}, until garbage collection removes it)"
    return f" (of {owner.get('kind')} `{owner.get('name')}`)"
