"""The one door to the API server: raw dicts over the official client's transport, every write fenced.

Typed models are not used: six typed APIs cost 94 MiB of memory and can't apply (decision 2). The transport is
synchronous, so calls run on a small pool of threads; the fence is asked there, right before the bytes leave.
"""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import urllib3
from kubernetes import config as kubeconfig
from kubernetes.client import ApiClient, ApiException, Configuration  # noqa: TID251 - the transport alone

from mpm_operator import __version__

from . import metrics
from .resources import PODS

if TYPE_CHECKING:
    from collections.abc import Callable

    from .resources import Kind, Object

MANAGER = "mpm-operator"
SCALE_MANAGER = "mpm-operator-scale"
STATUS_MANAGER = "mpm-operator-status"

TIMEOUT_SECONDS = 10.0
"""Longest that one call may take; a hung server must not hold a thread of the pool."""
THREADS = 8

_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"


class APIError(Exception):
    """The API server said no.

    `status` is the HTTP status, `reason` the word of the Status object (`NotFound`, `Invalid`, ...).
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message


class Unreachable(Exception):
    """The API server did not answer: refused, reset or too late. The write may have happened."""


class Fenced(Exception):
    """The lease is not (any more) provably ours; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The objects of one kind and the resourceVersion at which that was true."""

    items: list[Object]
    version: int


def connect(file: str | None = None) -> ApiClient:
    """Return a client from the pod's ServiceAccount or else from a kubeconfig (`file`, `KUBECONFIG`)."""
    configuration = Configuration()
    try:
        kubeconfig.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except kubeconfig.ConfigException:
        kubeconfig.load_kube_config(file, client_configuration=configuration)  # type: ignore[no-untyped-call]
    configuration.connection_pool_maxsize = 2 * THREADS
    # A retry below us would send a write again after the fence was asked: errors come up at once instead.
    configuration.retries = False
    api = ApiClient(configuration)
    api.user_agent = f"mpm-operator/{__version__}"
    return api


class Client:
    """Reads and fenced writes of objects as dicts.

    `remaining` says for how many seconds more the operator may write (the lease); writes are refused at 0 and
    never wait longer than that.
    """

    def __init__(self, api: ApiClient, remaining: Callable[[], float]) -> None:
        self._api = api
        self._remaining = remaining
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="api")
        self._under_way: set[Future[Object]] = set()

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Return the object, or None when there is none."""
        try:
            return await self._call("GET", kind, kind.path(namespace, name), fenced=False)
        except APIError as error:
            if error.status == 404:
                return None
            raise

    async def list(self, kind: Kind, namespace: str = "", selector: str = "") -> Listing:
        """Return all objects of the kind (in the namespace), read in chunks, as of one moment."""
        query = {"limit": "500"} | ({"labelSelector": selector} if selector else {})
        items: list[Object] = []
        while True:
            page = await self._call("GET", kind, kind.path(namespace), query=query, fenced=False)
            items += page.get("items") or []
            token = page["metadata"].get("continue")
            if not token:
                return Listing(items, int(page["metadata"]["resourceVersion"]))
            query["continue"] = token

    async def serves(self, kind: Kind) -> bool:
        """Return whether the API knows the kind (its CRD is established)."""
        path = f"/apis/{kind.group}/{kind.version}"
        try:
            found = await self._call("GET", kind, path, fenced=False)
        except APIError as error:
            if error.status == 404:
                return False
            raise
        return any(resource["name"] == kind.plural for resource in found.get("resources", ()))

    async def apply(
        self,
        kind: Kind,
        body: Object,
        *,
        manager: str = MANAGER,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Server-side apply of our fields, taking them from whoever else set them."""
        meta = body["metadata"]
        query = {"fieldManager": manager, "force": "true"} | ({"dryRun": "All"} if dry_run else {})
        path = kind.path(meta["namespace"], meta["name"], subresource)
        verb = "dry-run" if dry_run else "apply"
        return await self._call("PATCH", kind, path, query=query, body=body, content=_APPLY, verb=verb)

    async def merge(
        self, kind: Kind, namespace: str, name: str, patch: Object, *, dry_run: bool = False
    ) -> Object:
        """Merge patch: lists as a whole, or a field of an object that somebody else owns."""
        query = {"fieldManager": MANAGER} | ({"dryRun": "All"} if dry_run else {})
        path = kind.path(namespace, name)
        verb = "dry-run" if dry_run else "patch"
        return await self._call("PATCH", kind, path, query=query, body=patch, content=_MERGE, verb=verb)

    async def resize(self, namespace: str, pod: str, container: str, resources: Object) -> Object:
        """Ask for other resources of a running pod's container (KEP-1287)."""
        path = PODS.path(namespace, pod, "resize")
        patch = {"spec": {"containers": [{"name": container, "resources": resources}]}}
        query = {"fieldManager": MANAGER}
        return await self._call(
            "PATCH", PODS, path, query=query, body=patch, content=_STRATEGIC, verb="resize"
        )

    async def create(self, kind: Kind, body: Object, *, fenced: bool = True) -> Object:
        path = kind.path(body["metadata"]["namespace"])
        return await self._call("POST", kind, path, body=body, verb="create", fenced=fenced)

    async def replace(self, kind: Kind, body: Object, *, fenced: bool = True) -> Object:
        """Put the object in place of the one with the same resourceVersion (compare and swap: else 409)."""
        meta = body["metadata"]
        path = kind.path(meta["namespace"], meta["name"])
        return await self._call("PUT", kind, path, body=body, verb="update", fenced=fenced)

    async def drain(self) -> None:
        """Wait for the calls under way: when a task is cancelled, its call goes on in its thread."""
        await asyncio.gather(*map(asyncio.wrap_future, list(self._under_way)), return_exceptions=True)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._api.close()  # type: ignore[no-untyped-call]

    async def _call(
        self,
        method: str,
        kind: Kind,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Object | None = None,
        content: str = "application/json",
        verb: str = "",
        fenced: bool = True,
    ) -> Object:
        if verb and verb != "dry-run":
            metrics.API_WRITES.labels(verb, kind.plural).inc()
        try:
            call = self._pool.submit(self._send, method, path, query or {}, body, content, fenced)
            self._under_way.add(call)
            call.add_done_callback(self._under_way.discard)
            return await asyncio.wrap_future(call)
        except APIError as error:
            metrics.API_ERRORS.labels(verb or "get", kind.plural, error.reason).inc()
            raise
        except Unreachable:
            metrics.API_ERRORS.labels(verb or "get", kind.plural, "Unreachable").inc()
            raise

    def _send(
        self, method: str, path: str, query: dict[str, str], body: Object | None, content: str, fenced: bool
    ) -> Object:
        request = self._api.param_serialize(
            method,
            path,
            query_params=dict(query),
            header_params={"Accept": "application/json", "Content-Type": content},
            auth_settings=["BearerToken"],
        )
        _, url, headers, _, _ = request
        timeout = TIMEOUT_SECONDS
        if fenced:
            timeout = min(timeout, self._remaining())
            if timeout <= 0:
                raise Fenced("this operator does not hold the lease")
        try:
            response = self._api.call_api(method, url, headers, body, _request_timeout=timeout)
            data = response.read()  # type: ignore[no-untyped-call]
        except (urllib3.exceptions.HTTPError, OSError, ApiException) as error:
            raise Unreachable(f"{method} {path}: {error}") from error
        if response.status >= 400:
            raise _error(response.status, data)
        answer: Any = json.loads(data)
        return dict(answer)


def _error(status: int, data: bytes) -> APIError:
    try:
        said = json.loads(data)
        return APIError(status, said.get("reason") or str(status), said.get("message") or str(said))
    except (ValueError, AttributeError):
        return APIError(status, str(status), data[:500].decode(errors="replace"))
