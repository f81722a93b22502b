"""What a pod template was made of, so that the last good one can be made again.

Kept as annotations of the Deployment: an operator that starts anew, or another one, finds them there. The
template itself would not do: the ConfigMap and the directives in force belong to it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from mpm_operator.core.spec import WebServerSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

APPLIED = "mpm-operator.io/template-source"
"""What the template was made of."""
GOOD = "mpm-operator.io/last-good-source"
"""What the last template was made of whose rollout was completed."""
GOOD_DRAIN = "mpm-operator.io/last-good-drain"
"""The drain of that template, JSON of `drain_of`: pods that have more time than the spec asks for now are the
same pods, and not to be replaced when their template comes back."""
FAILED = "mpm-operator.io/failed-rollout"
"""The template that never got ready, and why: JSON of a `Failure`."""

GENERATION = "mpm-operator.io/generation"
"""Annotation of the pod template: hash of what needs a rollout."""

DRAIN_DELAY = "mpm-operator.io/drain-delay-seconds"
"""Annotation of the pod template: the drain delay that its pods have at least."""

SOURCE_MOST = 64 * 1024
"""All annotations of an object may have 256 KiB; a larger template is not remembered."""

_PARTS = ("app", "mpm", "extendedStatus", "podTemplate")
"""Parts of a spec that make new pods, besides the image; of `mpm` only what follows."""
_FIXED = ("type", "threadLimit", "listenBacklog", "processesPerPod")
"""Directives that a supervisor keeps from its start. The others are changed live, and never taken back."""


class Failure(msgspec.Struct, frozen=True):
    """A rollout that was given up."""

    generation: str
    """Hash of the template, and of the parts of the spec whose change starts anew."""
    reason: str


def source(spec: WebServerSpec, image: str) -> str:
    """Return what the template of `spec` is made of; nothing when that is too much to be remembered."""
    whole = msgspec.to_builtins(spec)
    parts = {name: whole[name] for name in _PARTS if name in whole}
    parts["mpm"] = _directives(parts, fixed=True)
    text = json.dumps({"image": image, **parts}, sort_keys=True, separators=(",", ":"))
    return text if len(text) <= SOURCE_MOST else ""


def restored(spec: WebServerSpec, good: str) -> WebServerSpec | None:
    """Return `spec` with the template parts of `good`; None when this version can't read them any more.

    What protects others (MaxRequestWorkers, ServerLimit) and what a running pod takes over stays the spec's,
    as far as the good template's pods can have it: `normalise` corrects the rest.
    """
    whole = msgspec.to_builtins(spec)
    kept = {name: value for name, value in whole.items() if name not in (*_PARTS, "image")}
    try:
        parts = json.loads(good)
        parts["mpm"] = _directives(whole, fixed=False) | _directives(parts, fixed=True)
        return msgspec.convert(kept | parts, WebServerSpec)
    except (ValueError, TypeError, AttributeError, msgspec.ValidationError):
        return None


def _directives(whole: Mapping[str, Any], *, fixed: bool) -> dict[str, Any]:
    """Return the directives of a spec that need new pods, or those that do not."""
    return {name: value for name, value in (whole.get("mpm") or {}).items() if (name in _FIXED) == fixed}


def remembered(
    running: Mapping[str, Any] | None, made_of: str, generation: str, failure: Failure | None
) -> dict[str, str]:
    """Return the Deployment's annotations for the template of that generation."""
    found = {APPLIED: made_of, GOOD: ""}
    if running is not None:
        live = running["metadata"].get("annotations") or {}
        if generation_of(running) == generation:
            # Nothing rolls: a change of live settings is no reason to write.
            found = {name: live.get(name, "") for name in (APPLIED, GOOD, GOOD_DRAIN)}
            found[APPLIED] = found[APPLIED] or made_of
        elif is_complete(running):
            found |= {GOOD: live.get(APPLIED, ""), GOOD_DRAIN: json.dumps(drain_of(running))}
        else:
            found |= {name: live.get(name, "") for name in (GOOD, GOOD_DRAIN)}
    if failure is not None:
        found[FAILED] = msgspec.json.encode(failure).decode()
    return {name: text for name, text in found.items() if text}


def failure_of(running: Mapping[str, Any] | None) -> Failure | None:
    """Return the rollout that was given up, if it is the last one."""
    live = ((running or {}).get("metadata") or {}).get("annotations") or {}
    try:
        return msgspec.json.decode(live[FAILED], type=Failure)
    except (KeyError, msgspec.DecodeError):
        return None


def good_of(running: Mapping[str, Any]) -> str:
    """Return what the last good template was made of, if that is known."""
    return str((running["metadata"].get("annotations") or {}).get(GOOD, ""))


def drain_of(deployment: Mapping[str, Any]) -> tuple[int, int]:
    """Return the drain delay and the grace period of the Deployment's template, in seconds."""
    template = (deployment.get("spec") or {}).get("template") or {}
    delay = str(((template.get("metadata") or {}).get("annotations") or {}).get(DRAIN_DELAY, ""))
    grace = (template.get("spec") or {}).get("terminationGracePeriodSeconds") or 0
    return int(delay) if delay.isdecimal() else 0, grace


def drain_of_pods(deployment: Mapping[str, Any], generation: str, made_of: str) -> tuple[int, int]:
    """Return the drain of the pods that a template of that generation finds: zeros when it finds none.

    They are those of the template that is there, or of the last good one while another is not yet complete.
    """
    if generation_of(deployment) == generation:
        return drain_of(deployment)
    if not deployment or good_of(deployment) != made_of or is_complete(deployment):
        return 0, 0
    text = (deployment["metadata"].get("annotations") or {}).get(GOOD_DRAIN, "")
    try:
        delay, grace = msgspec.json.decode(text, type=tuple[int, int])
    except msgspec.DecodeError:
        return 0, 0
    return delay, grace


def generation_of(deployment: Mapping[str, Any]) -> str:
    """Return the hash of the Deployment's pod template, as the operator made it."""
    template = (deployment.get("spec") or {}).get("template") or {}
    return str(((template.get("metadata") or {}).get("annotations") or {}).get(GENERATION, ""))


def is_complete(deployment: Mapping[str, Any]) -> bool:
    """Return whether the rollout of the Deployment's template came to its end.

    Its controller says so once and stands by it; pods that are quiesced later make it no less true.
    """
    return _progressing(deployment) == ("True", "NewReplicaSetAvailable")


def is_stuck(deployment: Mapping[str, Any]) -> bool:
    """Return whether the rollout made no progress until its deadline."""
    return _progressing(deployment) == ("False", "ProgressDeadlineExceeded")


def _progressing(deployment: Mapping[str, Any]) -> tuple[str, str]:
    """Return status and reason of the condition, when it is about the Deployment as it is now."""
    status = deployment.get("status") or {}
    if int(status.get("observedGeneration") or 0) < int(deployment["metadata"].get("generation") or 0):
        return "", ""
    for condition in status.get("conditions") or ():
        if condition["type"] == "Progressing":
            return condition["status"], condition.get("reason", "")
    return "", ""
