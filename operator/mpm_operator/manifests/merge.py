"""Merge of `spec.podTemplate` into the built pod template.

Three layers, weakest first: our defaults, the user's template, what the operator owns. Lists of named things
are merged by their key, as Kubernetes' strategic merge does it; other lists are replaced as a whole. A null
takes a default away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

LIST_KEYS = {
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}
"""Lists whose entries are told apart by something else than `name`."""

UNIONS = {"env", "volumes"}
"""Lists whose entries say one thing in one of several ways: half of one and half of another is neither."""


def merged(defaults: Mapping[str, Any], theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Lay the three layers over each other."""
    return _mapping(_mapping(defaults, theirs), ours)


def conflicts(theirs: Any, ours: Any, path: str) -> list[str]:
    """Name every value of `ours` that `theirs` wanted otherwise: one sentence each, with the full path."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return [
            sentence
            for key in sorted(theirs.keys() & ours.keys())
            for sentence in conflicts(theirs[key], ours[key], f"{path}.{key}")
        ]
    if _is_list_of_mappings(theirs) and _is_list_of_mappings(ours):
        field = path.rpartition(".")[2]
        key = LIST_KEYS.get(field, "name")
        own = {entry[key]: entry for entry in ours}
        return [
            sentence
            for entry in theirs
            if isinstance(name := entry.get(key), str) and name in own
            for sentence in (
                _differ(entry, own[name], f"{path}[{key}={name}]")
                if field in UNIONS
                else conflicts(entry, own[name], f"{path}[{key}={name}]")
            )
        ]
    return _differ(theirs, ours, path)


def _mapping(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in top.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            under = result.get(key)
            result[key] = _mapping(under if isinstance(under, dict) else {}, value)
        elif _is_list_of_mappings(value):
            below = result.get(key)
            result[key] = _entries(below if isinstance(below, list) else [], value, key)
        else:
            result[key] = value
    return result


def _entries(base: list[dict[str, Any]], top: list[dict[str, Any]], field: str) -> list[dict[str, Any]]:
    """Entries with the same key become one at the place of the first; those without a key stay."""
    key = LIST_KEYS.get(field, "name")
    result = list(base)
    place = {
        entry[key]: index
        for index, entry in enumerate(base)
        if isinstance(entry, dict) and isinstance(entry.get(key), str)
    }
    for entry in top:
        index = place.get(entry[key]) if isinstance(entry.get(key), str) else None
        if index is None:
            result.append(_mapping({}, entry))
        else:
            result[index] = _mapping({} if field in UNIONS else result[index], entry)
    return result


def _is_list_of_mappings(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def _differ(theirs: Any, ours: Any, path: str) -> list[str]:
    if theirs == ours:
        return []
    kept = "its own" if isinstance(ours, dict | list) else f"`{ours}`"
    return [f"`{path}` must be left out: the operator owns it and keeps {kept}"]
