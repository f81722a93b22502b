"""How many servers the pods are made for: processesPerPod changes live as long as the template holds it.

The template gives memory for so many servers, and its supervisors a ServerLimit. A change of either rolls all
pods, so a template keeps its number until something else rolls them. New pods start with at most so many, and
get the others as running ones do: by control, once they have memory for them (`kube/resize.py`,
`core/footprint.py`).

Rejected: the template's memory after the live number (every change would be a rollout); new pods that start
with all of them (their first moments would be spent in too little memory); a limit for all that is large
enough (an Event supervisor binds a listener for each server that may come).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from mpm_operator.core.directives import normalise
from mpm_operator.core.spec import Resize

from .pod import has_own_resources
from .rollout import generation_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mpm_operator.core.effective import Effective
    from mpm_operator.core.spec import WebServerSpec

    from .children import Children

SERVERS = "mpm-operator.io/made-for-servers"
"""Annotation of the pod template: servers that its pods were made for."""


def settle(
    spec: WebServerSpec,
    effective: Effective,
    running: Mapping[str, Any] | None,
    build: Callable[[Effective], Children],
    servers: int = 0,
) -> tuple[Effective, Children]:
    """Return the directives with the servers that pods are made for, and what `build` makes of them.

    That number is the running template's, while it is enough and nothing else makes new pods; else what is
    wanted.
    servers: it is this one, of the last good template.
    """
    kept = replace(effective, made_for=servers or made_for(running))
    if running is not None and _will_do(spec, kept):
        built = build(kept)
        if servers or built.generation == generation_of(running):
            return kept, built
    return effective, build(effective)


def held(spec: WebServerSpec, servers: int) -> WebServerSpec:
    """Return `spec` with no more servers a pod than pods made for `servers` can have; 0 = nobody knows."""
    effective = replace(normalise(spec)[0], made_for=servers)
    if not servers or _will_do(spec, effective):
        return spec
    return replace(spec, mpm=replace(spec.mpm, processes_per_pod=_most(spec, effective)))


def made_for(running: Mapping[str, Any] | None) -> int:
    """Return how many servers the pods of a Deployment were made for; 0 = nobody knows."""
    template = ((running or {}).get("spec") or {}).get("template") or {}
    text = str(((template.get("metadata") or {}).get("annotations") or {}).get(SERVERS, ""))
    return int(text) if text.isdecimal() else 0


def _will_do(spec: WebServerSpec, effective: Effective) -> bool:
    """Return whether pods made for `effective.made_for` servers can have as many as are wanted."""
    return effective.processes_per_pod <= _most(spec, effective)


def _most(spec: WebServerSpec, effective: Effective) -> int:
    """Return how many servers these pods can have: more than they were made for need memory in place."""
    if not effective.made_for:
        return 0
    grows = spec.scaling.resize is Resize.IN_PLACE or has_own_resources(spec)
    return effective.process_limit if grows else effective.made_for
