"""Why a `spec` is no WebServerSpec, for the person who wrote it: field, what was expected, what was given."""

from __future__ import annotations

import difflib
import re
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from mpm_operator.core.spec import WebServerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ERROR = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>.*)`$")
_MISSING = re.compile(r"^Object missing required field `(?P<name>.*)`$")
_TYPE = re.compile(r"^Expected `(?P<wanted>[^`]*)`, got `(?P<got>[^`]*)`$")
_BOUND = re.compile(r"^Expected `\w+`(?: | null`)? (?P<sign>[<>]=) (?P<bound>\S+)$")
_WORDS = {
    "int": "a whole number",
    "str": "text in quotes",
    "bool": "`true` or `false`",
    "object": "a mapping",
    "array": "a list",
    "float": "a number",
}


def explain(error: msgspec.ValidationError, spec: Mapping[str, Any]) -> tuple[str, str]:
    """Return (dotted field, sentence) for msgspec's `error` over `spec`."""
    match = _ERROR.match(str(error))
    what, path = (match["what"], match["path"] or "") if match else (str(error), "")
    path = "spec" + path
    if missing := _MISSING.match(what):
        return path, f"must have `{missing['name']}`."
    if unknown := _UNKNOWN.match(what):
        return f"{path}.{unknown['name']}", _unknown(unknown["name"], path)
    given = f", got `{value}`." if (value := _given(spec, path)) is not None else "."
    if mistyped := _TYPE.match(what):
        wanted = mistyped["wanted"].removesuffix(" | null")
        return path, f"expected {_WORDS.get(wanted, wanted)}{given}"
    if bound := _BOUND.match(what):
        word = "at least" if bound["sign"] == ">=" else "at most"
        return path, f"must be {word} {bound['bound']}{given}"
    annotation = dict(_fields(path.rpartition(".")[0])).get(path.rpartition(".")[2])
    if values := _enum_values(annotation):
        return path, f"must be one of {', '.join(values)}{given}"
    return path, f"{_description(annotation)} {what}{given}".strip()


def _unknown(name: str, path: str) -> str:
    known = [field for field, _ in _fields(path)]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean `{close[0]}`?" if close else f"expected one of {', '.join(known)}."
    return f"is no field of `{path}`; {hint}"


def _given(spec: Mapping[str, Any], path: str) -> str | None:
    """The value at `path` when it fits a line."""
    value: Any = spec
    for step in path.split(".")[1:]:
        value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else None


def _fields(path: str) -> list[tuple[str, Any]]:
    """Name and annotation of the fields that `path` (`spec`, `spec.mpm`, ...) may have."""
    struct: Any = WebServerSpec
    for step in path.split(".")[1:]:
        found = [part for part in _parts(dict(_fields_of(struct)).get(step)) if _is(part, msgspec.Struct)]
        if not found:
            return []
        struct = found[0]
    return _fields_of(struct)


def _fields_of(struct: Any) -> list[tuple[str, Any]]:
    hints = get_type_hints(struct, include_extras=True)
    return [(info.encode_name, hints[info.name]) for info in msgspec.structs.fields(struct)]


def _parts(annotation: Any) -> Iterator[Any]:
    """Every type and Meta inside `Annotated[T | None, Meta(...)]`."""
    yield annotation
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
        yield from _parts(annotation.__origin__)
    else:
        for part in get_args(annotation):
            yield from _parts(part)


def _is(part: Any, base: type) -> bool:
    return isinstance(part, type) and issubclass(part, base)


def _enum_values(annotation: Any) -> list[str]:
    return [str(member.value) for part in _parts(annotation) if _is(part, Enum) for member in part]


def _description(annotation: Any) -> str:
    metas = [part for part in _parts(annotation) if isinstance(part, msgspec.Meta) and part.description]
    return str(metas[0].description) if metas else ""
