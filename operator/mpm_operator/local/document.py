"""A YAML file with a WebServer (and the ConfigMaps it refers to), read as strictly as the API server would.

Every refusal is a `BadDocument` whose text says file, line, field and what was expected.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
import yaml

from mpm_operator.core.rules import violations
from mpm_operator.core.spec import WebServerSpec

from .refusals import explain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

API_VERSION = "mpm-operator.io/v1alpha1"
KIND = "WebServer"

_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


class BadDocument(Exception):
    """The file cannot be run; the text is meant for the person who wrote it."""


@dataclass(frozen=True, slots=True)
class Document:
    """What `mpm run` takes from a file."""

    name: str
    """metadata.name of the WebServer."""
    spec: WebServerSpec
    config_maps: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    """Name of each ConfigMap of the file → its keys and their bytes."""
    ignored: tuple[str, ...] = ()
    """`kind/name` of the documents that mean nothing on one machine."""

    @property
    def app_files(self) -> Mapping[str, bytes] | None:
        """The files of `spec.app.configMapRef`; None when the app comes from the folder of the file."""
        ref = self.spec.app.config_map_ref
        return None if ref is None else self.config_maps[ref.name]


def load(path: Path, *, serves: bool = True) -> Document:
    """Read `path`; `serves`: the app is to run, so a ConfigMap with its code must be there too.

    Raises BadDocument when it is no YAML, holds no (or more than one) WebServer, or a WebServer that the
    API server would refuse.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadDocument(f"{path}: cannot be read: {error.strerror}. Expected a YAML file.") from error
    except UnicodeDecodeError as error:
        raise BadDocument(f"{path}: is not UTF-8 text (byte {error.start}). Expected a YAML file.") from error
    return parse(text, str(path), serves=serves)


def parse(text: str, name: str, *, serves: bool = True) -> Document:
    """Read the text of a file called `name` in messages; see `load`."""
    try:
        return _parse(text, name, serves=serves)
    except RecursionError as error:
        raise BadDocument(f"{name}: is nested too deeply, or contains itself by an alias.") from error


def _parse(text: str, name: str, *, serves: bool) -> Document:
    parts = [_Part(name, node) for node in _compose(text, name) if not _is_empty(node)]
    servers = [part for part in parts if part.kind == KIND]
    if not servers:
        kinds = ", ".join(sorted({part.kind or "no kind" for part in parts})) or "nothing"
        raise BadDocument(
            f"{name}: holds no WebServer (found: {kinds}). Expected a document with "
            f"`apiVersion: {API_VERSION}` and `kind: {KIND}`."
        )
    if len(servers) > 1:
        servers[1].refuse("kind", "is a second WebServer; expected one a file, because one port is served.")
    maps = {part.name: _config_map(part) for part in parts if part.kind == "ConfigMap"}
    spec = _spec(servers[0])
    for violation in violations(servers[0].name, spec):
        servers[0].refuse(violation.field, violation.message + ".")
    reference = spec.app.config_map_ref
    if serves and reference is not None and reference.name not in maps:
        servers[0].refuse(
            "spec.app.configMapRef.name",
            f"no ConfigMap `{reference.name}` is in this file; expected it here too, "
            "because there is no cluster to ask. Left out, the app is imported from the folder of the file.",
        )
    ignored = tuple(f"{part.kind}/{part.name}" for part in parts if part.kind not in (KIND, "ConfigMap"))
    return Document(servers[0].name, spec, maps, ignored)


class _Part:
    """One document of the file: its values, and where each of them stands."""

    def __init__(self, file: str, node: yaml.Node) -> None:
        self.file = file
        self.node = node
        if not isinstance(node, yaml.MappingNode):
            raise BadDocument(
                f"{file}:{node.start_mark.line + 1}: expected a mapping with `apiVersion` and `kind`."
            )
        _check(file, node)
        self.values: dict[str, Any] = _construct(file, node)
        self.kind = str(self.values.get("kind") or "")
        metadata = self.values.get("metadata")
        self.name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""

    def refuse(self, path: str, what: str, cause: Exception | None = None) -> NoReturn:
        """Raise BadDocument for the field `path` (dotted) of this document."""
        raise BadDocument(f"{self.file}:{_line(self.node, path)}: {path}: {what}") from cause


def _compose(text: str, name: str) -> list[yaml.Node]:
    try:
        return [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if node is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise BadDocument(f"{name}{where}: is no YAML: {error.problem or error.context}.") from error
    except yaml.YAMLError as error:  # a character that no YAML file may hold
        raise BadDocument(f"{name}: is no YAML: {' '.join(str(error).split())}.") from error


def _construct(file: str, node: yaml.Node) -> dict[str, Any]:
    loader = yaml.SafeLoader("")
    try:
        values: dict[str, Any] = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = (error.problem_mark or node.start_mark).line + 1
        raise BadDocument(f"{file}:{line}: {error.problem}.") from error
    except ValueError as error:  # e.g. the timestamp 2020-99-99
        raise BadDocument(f"{file}:{node.start_mark.line + 1}: {error}.") from error
    finally:
        loader.dispose()
    return values


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value == ""


def _check(file: str, node: yaml.Node, path: str = "") -> None:
    """Refuse what PyYAML lets through and the API server does not.

    Of two equal keys PyYAML keeps the last in silence; half a surrogate pair is no character.
    """
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        if any("\ud800" <= character <= "\udfff" for character in node.value):
            raise BadDocument(f"{file}:{line}: {path}: holds half a surrogate pair; expected characters.")
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _check(file, item, f"{path}[{index}]")
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise BadDocument(f"{file}:{line}: {path or 'the document'}: expected a plain name as key.")
            inner = f"{path}.{key.value}" if path else key.value
            if key.value in seen:
                raise BadDocument(f"{file}:{line}: {inner}: is given twice; expected once.")
            seen.add(key.value)
            _check(file, key, path)
            _check(file, value, inner)


def _line(node: yaml.Node, path: str) -> int:
    """Line (from 1) of the field `path`, or of its nearest parent that is there."""
    line = node.start_mark.line + 1
    for step in re.findall(r"[^.\[\]]+|\[[^\]]*\]", path):
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == step), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif (
            isinstance(node, yaml.SequenceNode) and step[1:-1].isdigit() and int(step[1:-1]) < len(node.value)
        ):
            node = node.value[int(step[1:-1])]
            line = node.start_mark.line + 1
    return line


def _spec(part: _Part) -> WebServerSpec:
    version = part.values.get("apiVersion")
    if version != API_VERSION:
        part.refuse("apiVersion", f"expected `{API_VERSION}`, got `{version}`.")
    for key in part.values.keys() - {"apiVersion", "kind", "metadata", "spec", "status"}:
        part.refuse(str(key), "is no field of a WebServer; expected `metadata` and `spec`.")
    if not isinstance(part.values.get("spec"), dict):
        part.refuse("spec", "expected a mapping with at least `app: {module: MODULE:CALLABLE}`.")
    try:
        return msgspec.convert(_without_nulls(part.values["spec"]), WebServerSpec)
    except msgspec.ValidationError as error:
        path, what = explain(error, part.values["spec"])
        part.refuse(path, what, error)


def _without_nulls(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out `field:` without a value, as the API server does before it sets defaults."""
    return {
        key: _without_nulls(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }


def _config_map(part: _Part) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for section in ("data", "binaryData"):
        content = part.values.get(section) or {}
        if not isinstance(content, dict):
            part.refuse(section, "expected a mapping from file name to content.")
        for key, value in content.items():
            where = f"{section}.{key}"
            if not isinstance(key, str) or not _CONFIG_KEY.fullmatch(key) or key.startswith(".."):
                part.refuse(where, "expected a file name of letters, digits, `-`, `_` and `.`.")
            if not isinstance(value, str | bytes):
                part.refuse(where, f"expected text, got `{value}`; quote it.")
            files[key] = _bytes(part, where, value) if section == "binaryData" else _text(value)
    return files


def _text(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def _bytes(part: _Part, where: str, value: str | bytes) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        part.refuse(where, "expected base64.", error)
