"""The Service in front of the pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpm_operator.core.spec import ServiceSettings

    from .owner import Manifest, Owner


def service(owner: Owner, settings: ServiceSettings) -> Manifest:
    """The Service NAME: its port leads to the pods' port `http`."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owner.metadata(owner.name),
        "spec": {
            "type": str(settings.type),
            "selector": owner.selector,
            "ports": [{"name": "http", "protocol": "TCP", "port": settings.port, "targetPort": "http"}],
        },
    }
