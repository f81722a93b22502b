from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mpm_operator import __version__
from mpm_operator.kube.options import options
from mpm_operator.manifests.crd import crd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Objects = list[dict[str, Any]]


def find(objects: Objects, kind: str, name: str = "mpm-mpm-operator") -> dict[str, Any]:
    (found,) = [one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def operator(objects: Objects) -> dict[str, Any]:
    (container,) = find(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(container)


@pytest.fixture(params=["defaults", "everything"])
def values(request: pytest.FixtureRequest, everything: dict[str, Any]) -> dict[str, Any]:
    return everything if request.param == "everything" else {}


def test_helm_has_nothing_to_complain_about(
    helm: Any, chart: Path, tmp_path: Path, values: dict[str, Any]
) -> None:
    file = tmp_path / "values.json"
    file.write_text(json.dumps(values))
    linted = helm("lint", "--strict", chart, "--values", file)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert "[WARNING]" not in linted.stdout


def test_no_object_is_made_twice(render: Callable[..., Objects], values: dict[str, Any]) -> None:
    names = [
        (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in render(values)
    ]
    assert len(names) == len(set(names))


def test_the_chart_is_of_the_version_of_the_code(chart: Path) -> None:
    said = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert said["version"] == said["appVersion"] == __version__


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"replicaCounts": 2}, "additional properties 'replicaCounts' not allowed"),
        ({"image": {"tags": "1"}}, "additional properties 'tags' not allowed"),
        ({"replicaCount": "two"}, "/replicaCount"),
        ({"logging": {"level": "loud"}}, "must be one of 'debug', 'info', 'warning', 'error'"),
        ({"watchNamespaces": "shop"}, "/watchNamespaces"),
        ({"image": {"digest": "1234"}}, "/image/digest"),
        (
            {"metrics": {"service": {"enabled": False}, "serviceMonitor": {"enabled": True}}},
            "must be false unless metrics.service.enabled is true",
        ),
        (
            {"leaderElection": {"leaseDurationSeconds": 10}},
            "must be retryPeriodSeconds < renewDeadlineSeconds < leaseDurationSeconds",
        ),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_and_named(
    helm: Any, chart: Path, tmp_path: Path, wrong: dict[str, Any], words: str
) -> None:
    file = tmp_path / "values.json"
    file.write_text(json.dumps(wrong))
    refused = helm("template", "mpm", chart, "--values", file)
    assert refused.returncode != 0
    assert words in refused.stderr


@pytest.mark.parametrize("probe", ["livenessProbe", "readinessProbe"])
def test_a_probe_may_be_left_to_kubernetes(render: Callable[..., Objects], probe: str) -> None:
    (operator,) = (one for one in render({probe: None}) if one["kind"] == "Deployment")
    (container,) = operator["spec"]["template"]["spec"]["containers"]
    assert list(container[probe]) == ["httpGet"]


def test_every_value_of_the_schema_is_in_the_values_file_and_the_other_way_round(
    chart: Path,
) -> None:
    schema = json.loads((chart / "values.schema.json").read_text())["properties"]
    values = yaml.safe_load((chart / "values.yaml").read_text())
    assert set(values) == set(schema) - {"global"}
    for name, node in schema.items():
        if node.get("additionalProperties") is False and name not in ("livenessProbe", "readinessProbe"):
            assert set(values[name]) | {"claims"} >= set(node["properties"])


def test_every_value_is_used(chart: Path) -> None:
    templates = "".join(file.read_text() for file in (chart / "templates").iterdir())
    for name in yaml.safe_load((chart / "values.yaml").read_text()):
        assert re.search(rf"\.Values\.{name}\b", templates), name


def test_two_operators_run_by_default_and_a_drain_takes_one_at_a_time(
    render: Callable[..., Objects],
) -> None:
    objects = render()
    assert find(objects, "Deployment")["spec"]["replicas"] == 2
    assert find(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_the_operator_itself_reads_the_options_it_is_given(
    render: Callable[..., Objects], everything: dict[str, Any]
) -> None:
    values = everything | {
        "leaderElection": {"leaseDurationSeconds": 9, "renewDeadlineSeconds": 6, "retryPeriodSeconds": 1}
    }
    container = operator(render(values))
    environment = {entry["name"]: entry.get("value", "") for entry in container["env"]}
    chosen, arguments = options(container["args"], environment)
    assert chosen.worker_image == f"mpm-worker:{__version__}"
    assert (chosen.lease_namespace, chosen.lease_name) == ("mpm-system", "mpm-mpm-operator")
    assert (chosen.lease.duration, chosen.lease.renew, chosen.lease.retry) == (9, 6, 1)
    assert chosen.namespaces == ("shop", "market")
    assert (arguments.log_level, arguments.log_format) == ("debug", "json")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http-metrics": chosen.metrics_port, "http-healthz": chosen.health_port}


def test_no_variable_is_one_that_the_operator_does_not_know(render: Callable[..., Objects]) -> None:
    asked: set[str] = set()

    class Environment(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            asked.add(name)
            return {"MPM_OPERATOR_WORKER_IMAGE": "w"}.get(name, default)

    options([], Environment())
    given = {entry["name"] for entry in operator(render())["env"]}
    assert given <= asked


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({}, f"mpm-operator:{__version__}"),
        ({"registry": "registry.example:5000", "tag": "2"}, "registry.example:5000/mpm-operator:2"),
        ({"digest": "sha256:" + "0" * 64, "tag": "2"}, "mpm-operator@sha256:" + "0" * 64),
    ],
    ids=["defaults", "registry and tag", "digest"],
)
def test_an_image_is_named_by_registry_tag_or_digest(
    render: Callable[..., Objects], image: dict[str, str], reference: str
) -> None:
    container = operator(render({"image": image}))
    assert container["image"] == reference


def test_the_workers_image_comes_from_the_operators_registry_unless_it_has_its_own(
    render: Callable[..., Objects],
) -> None:
    def worker(values: dict[str, Any]) -> str:
        named = {entry["name"]: entry.get("value") for entry in operator(render(values))["env"]}
        return str(named["MPM_OPERATOR_WORKER_IMAGE"])

    ours = {"image": {"registry": "ours"}}
    assert worker(ours) == f"ours/mpm-worker:{__version__}"
    assert worker(ours | {"workerImage": {"registry": "theirs", "tag": "3"}}) == "theirs/mpm-worker:3"


def test_metrics_can_be_reached_and_monitored(
    render: Callable[..., Objects], everything: dict[str, Any]
) -> None:
    objects = render(everything)
    service = find(objects, "Service", "mpm-mpm-operator-metrics")
    monitor = find(objects, "ServiceMonitor")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_the_network_policy_lets_out_to_the_admin_port_and_to_the_leader_alone(
    render: Callable[..., Objects], everything: dict[str, Any]
) -> None:
    policy = find(render(everything), "NetworkPolicy")["spec"]
    leader, workers = [rule for rule in policy["egress"] if "to" in rule]
    assert leader["to"] == [{"podSelector": policy["podSelector"]}]
    assert [port["port"] for port in leader["ports"]] == ["http-metrics"]
    assert [port["port"] for port in workers["ports"]] == [9090]
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == {
        "http-metrics",
        "http-healthz",
    }


def test_the_definition_is_that_of_crds_and_is_kept(render: Callable[..., Objects]) -> None:
    name = "webservers.mpm-operator.io"
    rendered = find(render(), "CustomResourceDefinition", name)
    assert rendered["spec"] == crd()["spec"]
    assert rendered["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    loose = find(render({"crds": {"keep": False}}), "CustomResourceDefinition", name)
    assert "annotations" not in loose["metadata"]
    kinds = {one["kind"] for one in render({"crds": {"install": False}})}
    assert "CustomResourceDefinition" not in kinds


def test_prometheus_keeps_the_namespace_of_the_webserver(
    render: Callable[..., Objects], everything: dict[str, Any]
) -> None:
    """Without honorLabels `namespace` would be the operator's for every WebServer."""
    (endpoint,) = find(render(everything), "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["honorLabels"] is True
