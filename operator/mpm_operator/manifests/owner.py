"""Whose children these are: the WebServer, its labels and its owner reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

API_VERSION = "mpm-operator.io/v1alpha1"
KIND = "WebServer"

WEBSERVER_LABEL = "mpm-operator.io/webserver"
"""Label of every child and pod; the selector of the Deployment, the Service and the PodDisruptionBudget."""

Manifest = dict[str, Any]
"""A Kubernetes object as it goes over the wire."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The WebServer that the children belong to."""

    name: str
    namespace: str
    uid: str

    @property
    def selector(self) -> dict[str, str]:
        """Labels that select the pods; never changed once a Deployment exists."""
        return {WEBSERVER_LABEL: self.name}

    @property
    def labels(self) -> dict[str, str]:
        """Labels of every child and of the pods."""
        return {
            "app.kubernetes.io/name": "webserver",
            "app.kubernetes.io/instance": self.name,
            "app.kubernetes.io/managed-by": "mpm-operator",
            **self.selector,
        }

    @property
    def config_map_name(self) -> str:
        """Name of the ConfigMap with the boot settings."""
        return f"{self.name}-mpm"

    @property
    def secret_name(self) -> str:
        """Name of the Secret with the control keys."""
        return f"{self.name}-mpm-control"

    def metadata(self, name: str) -> Manifest:
        """Metadata of the child called `name`: garbage collection follows the owner reference."""
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": self.labels,
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": KIND,
                    "name": self.name,
                    "uid": self.uid,
                    "controller": True,
                    # True would need the permission to update finalizers of WebServers, for nothing.
                    "blockOwnerDeletion": False,
                }
            ],
        }
