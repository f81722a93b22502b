"""The PodDisruptionBudget: how many pods a node drain may take at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .owner import Manifest, Owner


def pod_disruption_budget(owner: Owner) -> Manifest:
    """The PodDisruptionBudget NAME: a tenth of the pods, at least one.

    Kubernetes rounds the percentage up, so a percentage is that maximum without a write at each scaling.
    `AlwaysAllow`: a pod that cannot become ready must not hold up a node drain.
    """
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": owner.metadata(owner.name),
        "spec": {
            "maxUnavailable": "10%",
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": owner.selector},
        },
    }
