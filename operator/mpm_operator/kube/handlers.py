"""kopf's part: watch, and hand every event to the caches. No logic, no state on objects, no finalizer.

Only `on.event`: higher handlers write annotations and finalizers (decision 1). kopf's own indices are not
used, because they can't be overlaid by our writes nor put right by a listing: our caches can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kopf

from .resources import LABELLED, MANAGED_BY, MANAGED_BY_LABEL, WATCHED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .caches import Caches
    from .resources import Kind, Object

    Changed = Callable[[Kind, Object, bool], None]
    """Told of each change: kind, object, and whether it is gone."""

OURS = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
"""Selector of what the operator made, pods and EndpointSlices included."""


def selector(kind: Kind) -> str:
    """Return the label selector of the kind's lists and watches."""
    return OURS if kind in LABELLED else ""


def register(registry: kopf.OperatorRegistry, caches: Caches, changed: Changed) -> None:
    """Watch every kind that has a cache."""
    for kind in WATCHED:
        _register(registry, kind, caches, changed)

    @kopf.on.login(registry=registry)
    async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_via_client(**kwargs)


def _register(registry: kopf.OperatorRegistry, kind: Kind, caches: Caches, changed: Changed) -> None:
    @kopf.on.event(
        group=kind.group, version=kind.version, plural=kind.plural, id=kind.plural, registry=registry
    )
    async def seen(event: Any, **_: Any) -> None:
        body: Object = dict(event["object"])
        deleted = event["type"] == "DELETED"
        cache = caches[kind]
        if cache.remove(body) if deleted else cache.put(body):
            changed(kind, body, deleted)


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings: alone, silent, filtered by the server, and never giving up."""
    chosen = kopf.OperatorSettings()
    chosen.peering.standalone = True
    chosen.posting.enabled = False
    # Scanning needs the right to list all CRDs and namespaces; what is watched is known and waited for.
    chosen.scanning.disabled = True
    chosen.watching.chunk_size = 500
    chosen.networking.error_backoffs = _Backoffs()
    chosen.networking.request_timeout = 30.0
    for kind in LABELLED:
        chosen.watching.label_selectors[kind.group, kind.version, kind.plural] = OURS
    return chosen


class _Backoffs:
    """Pauses between tries of a watch, without end: an API server may be away for hours."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.2, 0.5, 1.0)
        while True:
            yield 2.0
