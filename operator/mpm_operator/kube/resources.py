"""The kinds of objects the operator reads and writes, as paths of the API."""

from __future__ import annotations

from typing import Any, NamedTuple

Object = dict[str, Any]
"""An object of the API as it comes over the wire (decision 2: no typed models)."""

GROUP = "mpm-operator.io"
VERSION = "v1alpha1"
WEBSERVER_LABEL = f"{GROUP}/webserver"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "mpm-operator"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
GENERATION_ANNOTATION = f"{GROUP}/generation"


class Key(NamedTuple):
    """A WebServer."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Kind(NamedTuple):
    """One kind of object and where the API serves it."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the path of an object, or of the collection when there is no name; no namespace = all."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if namespace else ""
        parts = [root + scope, self.plural, name, subresource]
        return "/".join(part for part in parts if part)


WEBSERVERS = Kind(GROUP, VERSION, "webservers", "WebServer")
DEPLOYMENTS = Kind("apps", "v1", "deployments", "Deployment")
SERVICES = Kind("", "v1", "services", "Service")
CONFIGMAPS = Kind("", "v1", "configmaps", "ConfigMap")
SECRETS = Kind("", "v1", "secrets", "Secret")
BUDGETS = Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
PODS = Kind("", "v1", "pods", "Pod")
SLICES = Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
AUTOSCALERS = Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
LEASES = Kind("coordination.k8s.io", "v1", "leases", "Lease")
EVENTS = Kind("", "v1", "events", "Event")

CHILDREN = (CONFIGMAPS, SECRETS, SERVICES, BUDGETS, DEPLOYMENTS)
"""Kinds of children in the order they are applied: what pods mount comes before the pods."""

WATCHED = (WEBSERVERS, *CHILDREN, PODS, SLICES, AUTOSCALERS)
"""Kinds with a cache."""

LABELLED = (SECRETS, SERVICES, BUDGETS, DEPLOYMENTS, PODS, SLICES)
"""Kinds of which only ours are listed and watched; ConfigMaps are not among them, because users own those
that `app.configMapRef` names, and autoscalers are all other people's."""


def name_of(body: Object) -> str:
    return str(body["metadata"]["name"])


def uid_of(body: Object) -> str:
    return str(body["metadata"].get("uid", ""))


def condition_of(body: Object, kind: str) -> Object:
    """Return the condition of that type in the object's status; empty where there is none."""
    conditions = (body.get("status") or {}).get("conditions") or ()
    return next((condition for condition in conditions if condition["type"] == kind), {})


def version_of(body: Object) -> int:
    """Return the resourceVersion as the number it has always been (comparable by contract since 1.35)."""
    return int(body["metadata"].get("resourceVersion") or 0)


def controlled_by(body: Object, uid: str) -> bool:
    """Return whether the object's controlling owner has this UID."""
    owners = body["metadata"].get("ownerReferences") or ()
    return any(owner.get("controller") and owner.get("uid") == uid for owner in owners)
