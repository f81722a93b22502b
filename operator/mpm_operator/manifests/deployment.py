"""The Deployment: the pods' template, how it rolls, and what makes it roll.

It never holds `replicas`: that field belongs to the field manager of `scale.py`.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import msgspec

from . import merge, pod
from .rollout import DRAIN_DELAY, GENERATION, drain_of_pods, remembered, source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mpm_operator.core.directives import Effective
    from mpm_operator.core.spec import WebServerSpec

    from .owner import Manifest, Owner
    from .rollout import Failure

GRACE_MARGIN_SECONDS = 10
"""Between the worker's own drain deadline and the kubelet's KILL."""

PROGRESS_DEADLINE_SECONDS = 600
"""A rollout that makes no progress for so long is taken back."""


def deployment(
    owner: Owner,
    spec: WebServerSpec,
    effective: Effective,
    *,
    rollout: Mapping[str, Any],
    image: str,
    app_data: Mapping[str, str] | None,
    running: Mapping[str, Any] | None,
    failure: Failure | None,
    arguments: Sequence[str],
    progress_deadline: int,
) -> tuple[Manifest, tuple[str, ...]]:
    """The Deployment NAME and the sentences about `spec.podTemplate` fields that were not used."""
    theirs = msgspec.to_builtins(spec.pod_template)
    grace_period = grace_seconds(effective)
    ours = pod.owned(owner, spec, image=image, grace_seconds=grace_period, arguments=arguments)
    template = merge.merged(pod.defaults(owner, effective), theirs, ours)
    generation = digest({"template": without_grace(template), "rollout": rollout, "app": app_data})
    made_of = source(spec, image)
    drain, grace = longest_drain(effective, drain_of_pods(running or {}, generation, made_of))
    template["spec"]["terminationGracePeriodSeconds"] = grace
    notes = template["metadata"].setdefault("annotations", {})
    notes |= {GENERATION: generation, DRAIN_DELAY: str(drain)}
    kept = remembered(running, made_of, generation, failure)
    built = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": owner.metadata(owner.name) | {"annotations": kept},
        "spec": {
            "selector": {"matchLabels": owner.selector},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling_update(effective)},
            # `kubectl rollout pause` would hold up every change in silence; our spec.paused is told.
            "paused": False,
            "progressDeadlineSeconds": progress_deadline,
            "revisionHistoryLimit": 3,
            "template": template,
        },
    }
    return built, tuple(merge.conflicts(theirs, ours, "spec.podTemplate"))


def rolling_update(effective: Effective) -> dict[str, int]:
    """How many pods a rollout may have above and below `replicas`.

    The surge is what ServerLimit leaves above MaxRequestWorkers, in whole pods. Without room for one, pods
    have to go before their successors come.
    """
    most = effective.server_limit // effective.processes_per_pod
    surge = max(0, most - effective.max_pods)
    return {"maxSurge": surge, "maxUnavailable": 0 if surge else 1}


def grace_seconds(effective: Effective) -> int:
    """terminationGracePeriodSeconds that the settings ask for: accept, drain, and a margin."""
    return effective.drain_delay_seconds + effective.graceful_shutdown_timeout_seconds + GRACE_MARGIN_SECONDS


def longest_drain(effective: Effective, pods: tuple[int, int]) -> tuple[int, int]:
    """The template's drain delay and grace period, in seconds; `pods`: those of the pods that it is for.

    A shorter drain needs no new pods, so while nothing else rolls them the template keeps what they have.
    """
    return max(effective.drain_delay_seconds, pods[0]), max(grace_seconds(effective), pods[1])


def without_grace(template: Manifest) -> Manifest:
    """The template without the one field whose change alone does not always roll pods."""
    spec = {key: value for key, value in template["spec"].items() if key != "terminationGracePeriodSeconds"}
    return {**template, "spec": spec}


def digest(value: Any) -> str:
    """A short name of a value: 16 hex digits, equal for equal values."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
