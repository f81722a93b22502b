"""The dashboard and the alerts ask in PromQL, for metrics that are exposed, and can be read by people."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from consuming import read
from prometheus_client import CollectorRegistry, generate_latest

from mpm_operator.kube import metrics
from mpm_operator.kube.caches import Caches
from mpm_operator.kube.merged import Merged
from mpm_operator.kube.webserver_metrics import WebServerMetrics

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("agents")

FILES = Path(__file__).parents[2] / "charts" / "mpm-operator" / "files"
DASHBOARD = json.loads((FILES / "dashboard.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"]}
VARIABLES = {"$namespace": ".*", "$name": ".*", "$__rate_interval": "1m"}
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
GROUPS = yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"]
ALERTS = [rule["expr"] for group in GROUPS for rule in group["rules"]]
UNITS = {
    "Busy and demand": "percentunit",
    "Requests a second": "reqps",
    "Time in a slot": "s",
    "Duration of requests": "s",
    "Scale latency": "s",
    "Memory": "bytes",
    "Age of scoreboards": "s",
}
"""All others count things."""
OF_PODS = ("mpm_request_", "mpm_server_", "mpm_servers_", "apache_")


def filled(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def asked(expression: str) -> set[str]:
    """Names of metrics in it."""
    return set(re.findall(r"\b((?:mpm|apache)_\w+)(?=[{\[)\s]|$)", re.sub(r"\{[^}]*\}", "{}", expression)))


def exposed(text: str) -> set[str]:
    """Names that Prometheus would store: histograms have theirs with endings."""
    kinds = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE "))
    names = {f"{name}{end}" for name, kind in kinds.items() if kind == "histogram" for end in ("_bucket",)}
    return names | kinds.keys()


def test_each_expression_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"x:{number}", "expr": filled(one)} for number, one in enumerate(EXPRESSIONS)]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(EXPRESSIONS)} rules found" in done.stdout


def test_each_metric_is_exposed(serve: Callable[..., Any]) -> None:
    worker = serve("event")
    registry = CollectorRegistry()
    registry.register(WebServerMetrics(Merged(Caches(), lambda _: None), Caches(), lambda: True))
    there = exposed(read(f"http://127.0.0.1:{worker.admin_port}/metrics"))
    there |= exposed(generate_latest(registry).decode())
    there |= exposed(generate_latest(metrics.REGISTRY).decode())
    for expression in EXPRESSIONS + ALERTS:
        names = asked(expression)
        assert names, expression
        assert names <= there, expression


@pytest.mark.parametrize("title", PANELS)
def test_a_panel_can_be_read_and_chosen(title: str) -> None:
    panel = PANELS[title]
    assert panel["description"]
    assert panel["fieldConfig"]["defaults"]["unit"] == UNITS.get(title, "short")
    for target in panel["targets"]:
        if "{{name}}" in target["legendFormat"]:
            assert "{{namespace}}/{{name}}" in target["legendFormat"]
        of_pods = any(name.startswith(OF_PODS) for name in asked(target["expr"]))
        if of_pods:
            assert "PodMonitor" in panel["description"]
        for selected in re.findall(r"\{(.*?)\}", target["expr"]):
            label = "mpm_operator_io_webserver" if of_pods else "name"
            assert selected == f'namespace=~"$namespace",{label}=~"$name"'


def test_no_two_panels_lie_on_each_other() -> None:
    places: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & places
        assert max(x for x, _ in cells) < 24
        places |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_it_is_chosen_by_namespace_and_webserver() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "namespace", "name"]
    for name in ("namespace", "name"):
        assert variables[name]["multi"]
        assert variables[name]["allValue"] == ".*"  # pods without our label too, when all are meant
        assert variables[name]["label"]
