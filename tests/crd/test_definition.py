"""The generated definition, without a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mpm_operator.manifests.crd import chart_text, crd, text

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
FILE = ROOT / "crds" / "mpm-operator.io_webservers.yaml"
TEMPLATE = ROOT / "charts" / "mpm-operator" / "templates" / "crd.yaml"


@pytest.mark.parametrize(("file", "made"), [(FILE, text), (TEMPLATE, chart_text)], ids=["crds", "chart"])
def test_the_file_is_what_the_types_say(file: Path, made: Any) -> None:
    assert file.read_text() == made(), "run `make manifests`"


def test_it_is_small_enough_for_a_client_side_apply() -> None:
    assert len(text().encode()) < 64 * 1024


def version() -> Any:
    (only,) = crd()["spec"]["versions"]
    return only


def nodes(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, inner in node.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")


SPEC = list(nodes(version()["schema"]["openAPIV3Schema"]["properties"]["spec"], "spec"))


@pytest.mark.parametrize(("path", "node"), SPEC, ids=[path for path, _ in SPEC])
def test_every_field_is_described_and_bounded(path: str, node: dict[str, Any]) -> None:
    assert node["description"].endswith(".")
    if node["type"] == "integer":
        assert node["minimum"] < node["maximum"]
    if node["type"] == "string":
        assert "enum" in node or node["maxLength"]
    if "additionalProperties" in node:
        assert node["maxProperties"]
        assert node["additionalProperties"]["maxLength"]


@pytest.mark.parametrize(
    "path",
    [
        "mpm.threadsPerChild",
        "mpm.threadLimit",
        "mpm.startServers",
        "mpm.minSpareThreads",
        "mpm.maxSpareThreads",
        "mpm.minSpareServers",
        "mpm.maxSpareServers",
        "mpm.maxRequestWorkers",
        "mpm.serverLimit",
        "mpm.processesPerPod",
        "image",
        "replicas",
    ],
)
def test_a_field_that_is_computed_when_left_out_has_no_default(path: str) -> None:
    assert "default" not in dict(SPEC)[f"spec.{path}"]


def test_columns_are_those_people_look_for() -> None:
    columns = version()["additionalPrinterColumns"]
    always = [column["name"] for column in columns if not column.get("priority")]
    assert always == ["Ready", "MPM", "Pods", "Threads", "Busy", "Idle", "Queue", "Reason", "Age"]


def test_every_column_shows_a_field_of_the_schema() -> None:
    known = {f".{path}" for path, _ in nodes(version()["schema"]["openAPIV3Schema"], "")}
    for column in version()["additionalPrinterColumns"]:
        path = column["jsonPath"].partition("[")[0]
        assert f".{path}" in known or path == ".metadata.creationTimestamp"


def test_the_template_is_the_same_definition_when_helm_has_filled_it_in() -> None:
    lines = [line for line in TEMPLATE.read_text().splitlines() if "{{" not in line]
    assert yaml.safe_load("\n".join(lines))["spec"] == crd()["spec"]
