"""The children as they should be against the children as they are: apply only what differs.

The server answers an apply with its own spelling of our values (quantities, defaults), so drift is judged on
the fields we set, against the server's spelling of them from the last apply. Steady state costs no call.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from .client import APIError
from .resources import (
    BUDGETS,
    CONFIGMAPS,
    DEPLOYMENTS,
    SECRETS,
    SERVICES,
    controlled_by,
    name_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .caches import Caches
    from .client import Client
    from .resources import Key, Kind, Object

KINDS = {kind.kind: kind for kind in (CONFIGMAPS, SECRETS, SERVICES, BUDGETS, DEPLOYMENTS)}
RETRY_REFUSED_SECONDS = 30.0


class NameConflict(Exception):
    """Objects with our children's names belong to somebody else (decision 13)."""


class TemplateRefused(Exception):
    """The API server does not take the Deployment; the text is its own."""


@dataclass(frozen=True, slots=True)
class _Applied:
    """What the last apply asked for, and how the server spelled it."""

    digest: str
    answer: Any


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
        self._refused: dict[Key, _Refusal] = {}

    async def apply(self, key: Key, owner_uid: str, manifests: Iterable[Object]) -> list[str]:
        """Bring the children into line; return what was applied, as `Kind/name`.

        Raises NameConflict or TemplateRefused; then nothing was changed.
        """
        wanted = [(KINDS[body["kind"]], body) for body in manifests]
        differing = [(kind, body) for kind, body in wanted if self._differs(kind, body)]
        await self._check_owners(key, owner_uid, wanted)
        for kind, body in differing:
            if kind == DEPLOYMENTS:
                await self._rehearse(key, body)
        for kind, body in differing:
            answer = await self._client.apply(kind, body)
            meta = body["metadata"]
            self._applied[kind, meta["namespace"], meta["name"]] = _Applied(
                digest(body), spelled(body, answer)
            )
            self._caches[kind].put(answer)
        return [f"{kind.kind}/{name_of(body)}" for kind, body in differing]

    def forget(self, key: Key) -> None:
        self._refused.pop(key, None)
        for kind, namespace, name in list(self._applied):
            if namespace == key.namespace and (name == key.name or name.startswith(f"{key.name}-mpm")):
                del self._applied[kind, namespace, name]

    def _differs(self, kind: Kind, body: Object) -> bool:
        meta = body["metadata"]
        live = self._caches[kind].get(meta["namespace"], meta["name"])
        if live is None or live["metadata"].get("deletionTimestamp"):
            return live is None
        last = self._applied.get((kind, meta["namespace"], meta["name"]))
        wanted = {name: value for name, value in body.items() if name not in ("apiVersion", "kind")}
        now = spelled(wanted, live)
        if last is not None and last.digest == digest(body):
            return bool(now != {name: last.answer[name] for name in wanted})
        return bool(now != wanted)

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

    async def _rehearse(self, key: Key, body: Object) -> None:
        """Ask the server whether it would take the Deployment, before anything is changed."""
        wanted = digest(body)
        last = self._refused.get(key)
        if last is not None and last.digest == wanted and self._clock() - last.at < RETRY_REFUSED_SECONDS:
            raise TemplateRefused(last.message)
        try:
            await self._client.apply(DEPLOYMENTS, body, dry_run=True)
        except APIError as error:
            if error.status not in (400, 403, 422):
                raise
            self._refused[key] = _Refusal(wanted, error.message, self._clock())
            raise TemplateRefused(error.message) from error
        self._refused.pop(key, None)


def digest(body: Any) -> str:
    return sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def spelled(wanted: Any, live: Any) -> Any:
    """Return what `live` holds where `wanted` says something: same shape, the server's values.

    Lists of named things (containers, volumes, ports) are matched by name, so that another's entry is no
    drift; lists of anything else are compared as a whole, entry by entry.
    """
    if isinstance(wanted, dict) and isinstance(live, dict):
        return {key: spelled(value, live.get(key)) for key, value in wanted.items()}
    if isinstance(wanted, list) and isinstance(live, list):
        if wanted and all(isinstance(entry, dict) and "name" in entry for entry in wanted):
            named = {entry.get("name"): entry for entry in live if isinstance(entry, dict)}
            return [spelled(entry, named.get(entry["name"])) for entry in wanted]
        if len(wanted) == len(live):
            return [spelled(one, other) for one, other in zip(wanted, live, strict=True)]
    return live


def _whose(live: Object) -> str:
    owner = next(
        (owner for owner in live["metadata"].get("ownerReferences") or () if owner.get("controller")), None
    )
    if owner is None:
        return ""
    if owner.get("kind") == "WebServer":
        return f" (of an earlier WebServer, UID {owner.get('uid')}, until garbage collection removes it)"
    return f" (of {owner.get('kind')} `{owner.get('name')}`)"
