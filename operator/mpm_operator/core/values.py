"""The core's values as JSON and back: equal after the way, so that a decision can be made again from a file.

By hand and not by msgspec: infinity is no JSON number, and the annotations of the core name types that are
only imported for the checker.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from math import isinf
from typing import Any, Union, get_args, get_origin, get_type_hints

from msgspec import Struct

from . import (
    conditions,
    effective,
    estimator,
    flow,
    footprint,
    grants,
    maintenance,
    memory,
    plan,
    snapshot,
    spec,
    tuning,
    victims,
)

_NAMES: dict[str, Any] = {"Mapping": Mapping}
for _module in (
    conditions, effective, estimator, flow, footprint, grants, maintenance, memory, plan, snapshot,
    spec, tuning, victims,
):  # fmt: skip
    _NAMES |= vars(_module)


class BadValue(Exception):
    """Something that is no value of the core; the text names where it stands and what was expected."""


def write(value: Any) -> Any:
    """Return what `json` can write of a value of the core."""
    if isinstance(value, float):
        return str(value) if isinf(value) else value
    if isinstance(value, Enum) or value is None or isinstance(value, str | int):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Struct):
        return {name: write(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {name: write(entry) for name, entry in value.items()}
    return [write(entry) for entry in value]


def read(kind: Any, value: Any, where: str = "") -> Any:
    """Return the value of type `kind` that `write` made `value` from. Raises BadValue."""
    try:
        return _read(kind, value, where)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        name = getattr(kind, "__name__", str(kind))
        raise BadValue(
            f"{where or 'the document'}: expected a {name} as `write` makes it: {error}"
        ) from error


def _read(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        known = [one for one in arguments if one is not type(None)]
        return value if value is None or len(known) > 1 else read(known[0], value, where)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return tuple([read(arguments[0], one, f"{where}[{n}]") for n, one in enumerate(value)])
        return tuple([read(one, entry, where) for one, entry in zip(arguments, value, strict=True)])
    if origin in (dict, Mapping):
        return {name: read(arguments[1], entry, f"{where}.{name}") for name, entry in value.items()}
    if origin is list:
        return [read(arguments[0], one, f"{where}[{n}]") for n, one in enumerate(value)]
    if origin is frozenset:
        return frozenset(value)
    if isinstance(kind, type) and issubclass(kind, Struct):
        hints = _hints(kind)
        return kind(**{n: read(hint, value[n], f"{where}.{n}") for n, hint in hints.items() if n in value})
    if kind is float or (isinstance(kind, type) and issubclass(kind, Enum)):
        return kind(value)
    if isinstance(kind, type) and kind is not typing.Any and not isinstance(value, kind):
        raise TypeError(f"got `{value!r:.40}`")
    return value


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, _NAMES)
