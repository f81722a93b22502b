"""A file that cannot be run is refused with one sentence: file, line, field, what was expected."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpm_operator.local.document import BadDocument, load, parse

HEAD = """\
apiVersion: mpm-operator.io/v1alpha1
kind: WebServer
metadata:
  name: shop
"""
GOOD = HEAD + 'spec:\n  app: {module: "shop.wsgi:application"}\n'


def spec(lines: str) -> str:
    return GOOD + "".join(f"  {line}\n" for line in lines.splitlines())


BAD = {
    "unknown field": (
        spec("mpm:\n  threadsPerChld: 3"),
        "f.yaml:8: spec.mpm.threadsPerChld",
        "`threadsPerChild`",
    ),
    "field of nobody": (spec("colour: red"), "f.yaml:7: spec.colour", "expected one of app, engine"),
    "text for a number": (
        spec("mpm: {listenBacklog: many}"),
        "f.yaml:7: spec.mpm.listenBacklog",
        "whole number",
    ),
    "fraction": (spec("mpm: {threadsPerChild: 2.5}"), "f.yaml:7: spec.mpm.threadsPerChild", "got `2.5`"),
    "below": (spec("mpm: {threadsPerChild: -1}"), "f.yaml:7: spec.mpm.threadsPerChild", "at least 0"),
    "above": (spec("service: {port: 70000}"), "f.yaml:7: spec.service.port", "at most 65535"),
    "enum": (spec("mpm: {type: prefork}"), "f.yaml:7: spec.mpm.type", "Prefork, Worker, Event"),
    "directive of another MPM": (
        spec("mpm:\n  type: Prefork\n  minSpareThreads: 5"),
        "f.yaml:9: spec.mpm.minSpareThreads",
        "use `minSpareServers`",
    ),
    "engine to come": (spec("engine: Nginx"), "f.yaml:7: spec.engine", "must be one of Builtin"),
    "no boolean": (spec("paused: maybe"), "f.yaml:7: spec.paused", "`true` or `false`"),
    "list for a mapping": (spec("mpm: [1]"), "f.yaml:7: spec.mpm", "expected a mapping"),
    "mapping for text": (spec("image: {a: b}"), "f.yaml:7: spec.image", "expected text"),
    "list for a template": (spec("podTemplate: [1]"), "f.yaml:7: spec.podTemplate", "expected a mapping"),
    "key twice": (spec("paused: true\npaused: false"), "f.yaml:8: spec.paused", "given twice"),
    "no app": (HEAD + "spec:\n  paused: true\n", "f.yaml:5: spec", "must have `app`"),
    "app without value": (HEAD + "spec:\n  app:\n", "f.yaml:5: spec", "must have `app`"),
    "no module": (HEAD + "spec:\n  app: {}\n", "f.yaml:6: spec.app", "must have `module`"),
    "no callable": (HEAD + "spec:\n  app: {module: shop}\n", "f.yaml:6: spec.app.module", "MODULE:CALLABLE"),
    "no spec": (HEAD, "f.yaml:1: spec", "app"),
    "spec is text": (HEAD + "spec: shop\n", "f.yaml:5: spec", "expected a mapping"),
    "no ConfigMap": (
        HEAD + 'spec:\n  app: {module: "a:b", configMapRef: {name: code}}\n',
        "f.yaml:6: spec.app.configMapRef.name",
        "no ConfigMap `code`",
    ),
    "version": (GOOD.replace("v1alpha1", "v1"), "f.yaml:1: apiVersion", "mpm-operator.io/v1alpha1"),
    "name": (GOOD.replace("name: shop", "name: My_Shop"), "f.yaml:4: metadata.name", "start with a letter"),
    "no name": (GOOD.replace("  name: shop\n", "  labels: {}\n"), "f.yaml:3: metadata.name", "must be"),
    "stranger on top": (GOOD + "data: {}\n", "f.yaml:7: data", "no field of a WebServer"),
    "two WebServers": (GOOD + "---\n" + GOOD, "f.yaml:9: kind", "second WebServer"),
    "other kind": ("kind: Deployment\n", "f.yaml", "holds no WebServer (found: Deployment)"),
    "nothing": ("", "f.yaml", "holds no WebServer (found: nothing)"),
    "a list": ("- 1\n", "f.yaml:1", "expected a mapping"),
    "no YAML": ("kind: [\n", "f.yaml:2:1", "is no YAML"),
    "tab": ("kind:\n\t- a\n", "f.yaml:2:1", "is no YAML"),
    "control character": ("kind: \x00\n", "f.yaml", "is no YAML"),
    "alien tag": (GOOD + "status: !!python/name:os.system\n", "f.yaml:7", "constructor"),
    "half a character": (spec('image: "\\ud800"'), "f.yaml:7: spec.image", "surrogate"),
    "itself": (spec("podTemplate: &a [*a]"), "f.yaml", "contains itself"),
    "too deep": (spec("podTemplate: " + "[" * 2000), "f.yaml", "too deeply"),
    "no base64": (
        GOOD + "---\nkind: ConfigMap\nmetadata: {name: c}\nbinaryData: {a.py: '%'}\n",
        "f.yaml:10: binaryData.a.py",
        "expected base64",
    ),
    "path as key": (
        GOOD + "---\nkind: ConfigMap\nmetadata: {name: c}\ndata: {../a.py: x}\n",
        "f.yaml:10: data.../a.py",
        "expected a file name",
    ),
    "number as file": (
        GOOD + "---\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a.py: 1}\n",
        "f.yaml:10: data.a.py",
        "quote it",
    ),
}


@pytest.mark.parametrize(("text", "where", "expected"), BAD.values(), ids=BAD)
def test_says_where_and_what_was_expected(text: str, where: str, expected: str) -> None:
    with pytest.raises(BadDocument) as refused:
        parse(text, "f.yaml")
    assert str(refused.value).startswith(where + ":")
    assert expected in str(refused.value)


def test_names_a_file_that_is_not_there(tmp_path) -> None:
    with pytest.raises(BadDocument, match=r"nowhere\.yaml: cannot be read: No such file"):
        load(tmp_path / "nowhere.yaml")


def test_names_a_folder(tmp_path) -> None:
    with pytest.raises(BadDocument, match="cannot be read"):
        load(tmp_path)


def test_names_a_file_that_is_no_text(tmp_path) -> None:
    (tmp_path / "f.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadDocument, match="not UTF-8"):
        load(tmp_path / "f.yaml")


def test_a_field_without_value_is_a_field_left_out() -> None:
    assert parse(spec("mpm:\nimage:"), "f").spec == parse(GOOD, "f").spec


def test_config_maps_of_the_file_are_the_app_and_the_rest_is_named() -> None:
    text = (
        HEAD
        + 'spec:\n  app: {module: "a:b", configMapRef: {name: code}}\n'
        + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: code}\n"
        + 'data: {a.py: "b = 1"}\nbinaryData: {b.bin: "AAE="}\n'
        + "---\nkind: Service\nmetadata: {name: s}\n"
    )
    document = parse(text, "f")
    assert document.app_files == {"a.py": b"b = 1", "b.bin": b"\x00\x01"}
    assert document.ignored == ("Service/s",)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(BadDocument):
        assert parse(GOOD + text, "f").name == "shop"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["app", "mpm", "http", "scaling", "service", "replicas", "podTemplate", "x"]), _VALUES)
def test_any_value_of_any_field_is_read_or_refused(name: str, value: object) -> None:
    with contextlib.suppress(BadDocument):
        assert parse(GOOD + f"  {name}: {json.dumps(value)}\n", "f").name == "shop"
