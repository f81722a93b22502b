"""Writes the page of the resource's fields: `python docs/make_directives.py > docs/directives.md`."""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec
from msgspec import inspect

from mpm_operator.core.directives import normalise
from mpm_operator.core.spec import MPM, App, MPMDirectives, WebServerSpec

INTRODUCTION = """\
# Every field of a WebServer

Made from `operator/mpm_operator/core/spec.py` by `docs/make_directives.py`; `kubectl explain webserver.spec`
prints the same words. A field named after a directive of httpd means what it means there, over all pods.

*computed* = left out, the operator works it out; the value that holds is in `status.effective`. What httpd
corrects at its start is corrected here in the same order, and said in the condition `Accepted`.
"""

_COMPUTED = (
    "start_servers",
    "processes_per_pod",
    "threads_per_child",
    "thread_limit",
    "band",
    "max_request_workers",
    "server_limit",
)


def main() -> None:
    print(page(), end="")


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    kind = inspect.type_info(WebServerSpec)
    assert isinstance(kind, inspect.StructType)
    _section("spec", kind, parts)
    parts.append(_left_out())
    return "\n".join(parts)


def _left_out() -> str:
    """What takes effect when a spec has only its app, for each MPM."""
    columns = {mpm: normalise(WebServerSpec(App("shop:app"), mpm=MPMDirectives(mpm)))[0] for mpm in MPM}
    rows = [
        "## What takes effect when all is left out",
        "",
        f"| value | {' | '.join(mpm.value for mpm in columns)} |",
        f"| --- |{' --- |' * len(columns)}",
    ]
    for name in _COMPUTED:
        values = [getattr(effective, name) for effective in columns.values()]
        shown = ["from the load" if value is None else f"{value:,}" for value in values]
        label = "spare slots" if name == "band" else name.replace("_", " ")
        rows.append(f"| {label} | {' | '.join(shown)} |")
    return "\n".join(rows) + "\n"


def _section(path: str, struct: inspect.StructType, parts: list[str]) -> None:
    """A table of the fields of `struct`, then a section for each struct among them."""
    rows = ["| field | default | values | meaning |", "| --- | --- | --- | --- |"]
    inner: list[tuple[str, inspect.StructType]] = []
    for field in struct.fields:
        kind, description = _described(field.type)
        if isinstance(kind, inspect.StructType):
            inner.append((f"{path}.{field.encode_name}", kind))
        rows.append(f"| `{field.encode_name}` | {_default(field)} | {_values(kind)} | {description} |")
    parts.append(f"## {path}\n\n" + "\n".join(rows) + "\n")
    for name, found in inner:
        _section(name, found, parts)


def _described(kind: Any) -> tuple[inspect.Type, str]:
    """The type without `Annotated` and `None`, and its description."""
    description = ""
    while True:
        if isinstance(kind, inspect.Metadata):
            description = description or str((kind.extra_json_schema or {}).get("description", ""))
            kind = kind.type
        elif isinstance(kind, inspect.UnionType):
            (kind,) = (one for one in kind.types if not isinstance(one, inspect.NoneType))
        else:
            return kind, description


def _default(field: inspect.Field) -> str:
    if field.default is None:
        return "*computed*" if "computed" in _described(field.type)[1] or _is_number(field) else "–"
    if field.default is msgspec.NODEFAULT:
        return "**required**" if field.required else "–"
    value = field.default.value if isinstance(field.default, Enum) else field.default
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _is_number(field: inspect.Field) -> bool:
    return isinstance(_described(field.type)[0], inspect.IntType) and field.name != "replicas"


def _values(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.EnumType):
        return ", ".join(f"`{member.value}`" for member in kind.cls)
    if isinstance(kind, inspect.IntType):
        return f"{kind.ge:,} – {kind.le:,}"
    if isinstance(kind, inspect.BoolType):
        return "`true`, `false`"
    return "text" if isinstance(kind, inspect.StrType) else "mapping"


if __name__ == "__main__":
    main()
