"""The one field that the field manager `mpm-operator-scale` applies."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .owner import Manifest, Owner


def scale(owner: Owner, replicas: int, *, deployment_uid: str = "", version: str = "") -> Manifest:
    """The Deployment with nothing but `replicas`.

    deployment_uid, version: when given, the apply fails with a conflict if that Deployment was replaced, or
        changed since that resourceVersion.
    """
    metadata = {"name": owner.name, "namespace": owner.namespace}
    if deployment_uid:
        metadata["uid"] = deployment_uid
    if version:
        metadata["resourceVersion"] = version
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"replicas": replicas},
    }
