"""The status of a WebServer: its schema, and the directives as `status.effective` shows them."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from mpm_operator.core.effective import Effective

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .owner import Manifest

DERIVED = (
    "slotsPerPod",
    "maxPods",
    "minSpareThreads",
    "maxSpareThreads",
    "minSpareServers",
    "maxSpareServers",
)
"""Numbers in `status.effective` that are no plain field of `Effective`."""
INTERNAL = frozenset({"mpm", "band", "boot_threads", "servers_hard"})
"""Fields of `Effective` that it shows in another form, or that only the planner needs."""


@lru_cache(maxsize=4096)
def effective_status(effective: Effective) -> Mapping[str, Any]:
    """The directives that take effect, in the words of the spec; what is computed in the pods is left out.

    Shared by all who ask: they ask at every turn, and it changes with the spec.
    """
    shown: dict[str, Any] = {"type": str(effective.mpm)}
    shown |= {_camel(name): getattr(effective, name) for name in _plain()}
    shown |= {"slotsPerPod": effective.slots_per_pod, "maxPods": effective.max_pods}
    if effective.max_rss_bytes < 0:
        del shown["maxRssBytes"]
    if effective.band is not None:
        unit = "Servers" if effective.mpm.value == "Prefork" else "Threads"
        shown[f"minSpare{unit}"] = effective.band.min_spare
        shown[f"maxSpare{unit}"] = effective.band.max_spare
    return shown


def status_schema() -> Manifest:
    """The structural schema of `status`; everything in it may be missing."""
    return {
        "type": "object",
        "description": "What the operator saw and decided. Written on change, at most once in 5 s.",
        "properties": {
            "observedGeneration": _integer("`metadata.generation` that this status answers.", "int64"),
            "replicas": _integer("Pods that exist."),
            "readyReplicas": _integer("Pods that accept requests."),
            "desiredReplicas": _integer("Pods wanted; they are wanted again after the Deployment was lost."),
            "selector": _text("Label selector of the pods, for the scale subresource."),
            "threadsPerChild": _integer("Threads of each server, tuned or given."),
            "workers": _mapping(
                "Slots of the whole WebServer. Moves only with large changes: fast numbers are metrics.",
                busy=_integer("Slots with a request."),
                idle=_integer("Slots without one."),
                total=_integer("Slots that accept."),
                queue=_integer("Requests that wait for a slot."),
            ),
            "decision": _mapping(
                "The last decision on pods and threads.",
                reason=_text("One word, e.g. `QueueFormed`."),
                message=_text("The sentence to it."),
                time=_text("When it was made.", "date-time"),
            ),
            "effective": _mapping("The directives after httpd's checks and corrections.", **_effective()),
            "conditions": {
                "type": "array",
                "description": "What holds: Accepted, Available, Progressing, ScalingActive, ScalingLimited, "
                "Saturated, Ready.",
                "maxItems": 32,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": _condition(),
            },
        },
    }


def _condition() -> Manifest:
    condition = _mapping(
        "One aspect of the state.",
        type=_text("Name of the condition."),
        status=_text("Whether it holds.") | {"enum": ["True", "False", "Unknown"]},
        reason=_text("One word why."),
        message=_text("A sentence for people."),
        lastTransitionTime=_text("When `status` last changed.", "date-time"),
        observedGeneration=_integer("`metadata.generation` that it answers.", "int64"),
    )
    return condition | {"required": ["type", "status", "reason", "message", "lastTransitionTime"]}


def _effective() -> dict[str, Manifest]:
    kinds = {"int": "integer", "bool": "boolean"}
    properties = {"type": "string"}
    properties |= {_camel(name): kinds[kind] for name, kind in _plain().items()}
    properties |= dict.fromkeys(DERIVED, "integer")
    return {
        name: {"type": kind, **({"format": "int64"} if kind == "integer" else {})}
        for name, kind in properties.items()
    }


@cache
def _plain() -> dict[str, str]:
    """Fields of `Effective` that the status shows under their own name, with their types as written."""
    return {name: kind for name, kind in Effective.__annotations__.items() if name not in INTERNAL}


def _mapping(description: str, **properties: Manifest) -> Manifest:
    return {"type": "object", "description": description, "properties": properties}


def _integer(description: str, width: str = "int32") -> Manifest:
    return {"type": "integer", "format": width, "description": description}


def _text(description: str, form: str = "") -> Manifest:
    return {"type": "string", "description": description, **({"format": form} if form else {})}


@cache
def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)
