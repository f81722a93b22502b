"""The ConfigMap with the settings that a pod boots with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .owner import Manifest, Owner


def config_map(owner: Owner, config: Mapping[str, str]) -> Manifest:
    """The ConfigMap NAME-mpm: one key a file of the engine."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": owner.metadata(owner.config_map_name),
        "data": dict(config),
    }
