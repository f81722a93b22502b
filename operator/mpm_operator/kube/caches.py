"""What the watches have brought: one cache a kind, trimmed, and overlaid by our own writes (decision 14).

An object is replaced only by one with a newer resourceVersion. The answer to a write goes in as well, so the
cache never shows less than what this process has done, and a watch event that is older than our write is
ignored. A deletion leaves a tombstone with its version for the same reason.
"""

from __future__ import annotations

import hashlib
import time
from bisect import insort
from collections import OrderedDict
from typing import TYPE_CHECKING

from . import metrics
from .resources import (
    AUTOSCALERS,
    CONFIGMAPS,
    DEPLOYMENTS,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    PODS,
    SLICES,
    WATCHED,
    WEBSERVER_LABEL,
    WEBSERVERS,
    Key,
    name_of,
    uid_of,
    version_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .client import Listing
    from .resources import Kind, Object

TOMBSTONES = 2000
"""Deleted objects whose version is remembered, a kind."""


class Cache:
    """Objects of one kind by namespace and name, and by the WebServer they belong to."""

    def __init__(self, kind: Kind, clock: Callable[[], float] = time.monotonic) -> None:
        self.kind = kind
        self._clock = clock
        self._objects: dict[Key, Object] = {}
        self._parents: dict[Key, list[Key]] = {}
        """Sorted: read at every turn, changed seldom."""
        self._gone: OrderedDict[Key, int] = OrderedDict()
        self.confirmed_at: float | None = None
        """When a listing last agreed with this cache or put it right."""

    def get(self, namespace: str, name: str) -> Object | None:
        return self._objects.get(Key(namespace, name))

    def of(self, parent: Key) -> Iterator[Object]:
        """Yield the objects that belong to the WebServer."""
        for key in tuple(self._parents.get(parent, ())):
            yield self._objects[key]

    def __iter__(self) -> Iterator[Object]:
        return iter(list(self._objects.values()))

    def __len__(self) -> int:
        return len(self._objects)

    def put(self, body: Object) -> bool:
        """Take in an object; return whether it told something new."""
        key = Key(body["metadata"].get("namespace", ""), name_of(body))
        version = version_of(body)
        old = self._objects.get(key)
        if (old is not None and version_of(old) >= version) or self._gone.get(key, -1) >= version:
            return False
        self._drop(key)
        self._objects[key] = trimmed(self.kind, body)
        for parent in parents(self.kind, body):
            insort(self._parents.setdefault(parent, []), key)
        return True

    def remove(self, body: Object) -> bool:
        """Take out an object that was deleted, or that no longer carries our label."""
        key = Key(body["metadata"].get("namespace", ""), name_of(body))
        version = version_of(body)
        old = self._objects.get(key)
        if old is not None and version_of(old) > version and uid_of(old) != uid_of(body):
            return False
        self._gone[key] = max(version, self._gone.pop(key, -1))
        while len(self._gone) > TOMBSTONES:
            self._gone.popitem(last=False)
        self._drop(key)
        return old is not None

    def confirm(self, listing: Listing, namespace: str) -> list[Object]:
        """Put the cache right by a listing of one namespace ("" = all); return what the watch missed."""
        missed = [body for body in listing.items if self.put(body)]
        present = {Key(body["metadata"].get("namespace", ""), name_of(body)) for body in listing.items}
        for key, body in list(self._objects.items()):
            listed = not namespace or key.namespace == namespace
            if listed and key not in present and version_of(body) <= listing.version:
                self._drop(key)
                missed.append(body)
        if self.confirmed_at is not None and missed:
            metrics.WATCH_MISSES.labels(self.kind.plural).inc(len(missed))
        return missed

    def _drop(self, key: Key) -> None:
        old = self._objects.pop(key, None)
        if old is None:
            return
        for parent in parents(self.kind, old):
            members = self._parents[parent]
            members.remove(key)
            if not members:
                del self._parents[parent]


class Caches:
    """The caches of all kinds that are watched."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._caches = {kind: Cache(kind, clock) for kind in WATCHED}

    def __getitem__(self, kind: Kind) -> Cache:
        return self._caches[kind]

    def __iter__(self) -> Iterator[Cache]:
        return iter(self._caches.values())

    def ages(self) -> dict[str, float]:
        """Return the seconds since each cache was confirmed; infinite when it never was."""
        now = self._clock()
        return {
            cache.kind.plural: now - cache.confirmed_at if cache.confirmed_at is not None else float("inf")
            for cache in self
        }

    def affected(self, kind: Kind, body: Object) -> set[Key]:
        """Return the WebServers that a change of this object concerns."""
        concerned = parents(kind, body)
        if kind == CONFIGMAPS and not ours(body):
            meta = body["metadata"]
            concerned |= {
                Key(meta["namespace"], name_of(server))
                for server in self[WEBSERVERS]
                if server["metadata"]["namespace"] == meta["namespace"]
                and app_reference(server) == meta["name"]
            }
        return concerned


def parents(kind: Kind, body: Object) -> set[Key]:
    """Return the WebServers that an object belongs to by its own word."""
    meta = body["metadata"]
    namespace = meta.get("namespace", "")
    if kind == WEBSERVERS:
        return {Key(namespace, meta["name"])}
    if kind == AUTOSCALERS:
        target = (body.get("spec") or {}).get("scaleTargetRef") or {}
        ours = target.get("kind") in (DEPLOYMENTS.kind, WEBSERVERS.kind)
        return {Key(namespace, str(target.get("name")))} if ours else set()
    name = (meta.get("labels") or {}).get(WEBSERVER_LABEL)
    if not name or (kind == PODS and _deployment_of(body) != name):
        return set()
    return {Key(namespace, name)}


def _deployment_of(pod: Object) -> str:
    """Return the Deployment that keeps the pod, by the name of its ReplicaSet: NAME-HASH.

    Anybody may put our label on a pod of theirs; it is neither counted nor called.
    """
    owners = pod["metadata"].get("ownerReferences") or ()
    keeper: Object = next((owner for owner in owners if owner.get("controller")), {})
    return str(keeper.get("name")).rpartition("-")[0] if keeper.get("kind") == "ReplicaSet" else ""


def ours(body: Object) -> bool:
    """Return whether the object carries our label."""
    return (body["metadata"].get("labels") or {}).get(MANAGED_BY_LABEL) == MANAGED_BY


def app_reference(server: Object) -> str:
    """Return the name of the ConfigMap that holds the app's code, or nothing."""
    app = (server.get("spec") or {}).get("app") or {}
    return str((app.get("configMapRef") or {}).get("name") or "")


def trimmed(kind: Kind, body: Object) -> Object:
    """Return the object without what nobody reads: ten thousand pods of 9 KB would be 90 MB."""
    meta = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    rest = {key: value for key, value in body.items() if key != "metadata"}
    if kind == PODS:
        spec = body.get("spec") or {}
        kept = {name: spec.get(name) for name in ("nodeName", "terminationGracePeriodSeconds")}
        containers = [
            {"name": container["name"], "resources": container.get("resources") or {}}
            for container in spec.get("containers") or ()
        ]
        rest = {"spec": kept | {"containers": containers}, "status": body.get("status") or {}}
    elif kind == SLICES:
        rest = {"endpoints": body.get("endpoints") or []}
    elif kind == CONFIGMAPS and not ours(body):
        # Users' ConfigMaps are compared, never read: a digest a key is enough.
        files = (body.get("data") or {}) | (body.get("binaryData") or {})
        rest = {"digests": {name: _digest(text) for name, text in files.items()}}
    return {"metadata": meta} | rest


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
