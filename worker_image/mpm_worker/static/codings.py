"""Content codings of files that were compressed beforehand (RFC 9110, 12.5.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

SUFFIXES: Final = {"br": b".br", "gzip": b".gz"}
"""The better one first."""


def choose(field: str, offered: Collection[str]) -> str:
    """The coding of `offered` that the client prefers, in our order where it does not care; "" = as it is.

    A client that refuses everything, identity included, gets the file as it is: better than nothing.
    """
    weights = _weights(field)
    others = weights.get("*", 0.0)
    # Not named, plain is welcome, but less than what was asked for.
    best, most = "", weights.get("identity", 0.0)
    for coding in SUFFIXES:
        weight = weights.get(coding, others)
        if coding in offered and (weight > most or (weight == most > 0 and not best)):
            best, most = coding, weight
    return best


def _weights(field: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for item in field.split(","):
        coding, *parameters = (part.strip(" \t").lower() for part in item.split(";"))
        if coding:
            found["gzip" if coding == "x-gzip" else coding] = _weight(parameters)
    return found


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
