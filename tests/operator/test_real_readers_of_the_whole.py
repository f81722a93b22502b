"""Prometheus and apache_exporter against a running operator and its pods."""

from __future__ import annotations

import json
import random
import re
import subprocess
import time
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600), pytest.mark.usefixtures("agents")]

FILES = Path(__file__).parents[2] / "charts" / "mpm-operator" / "files"
ALERTS = FILES / "alerts.yaml"
COMPARISON = re.compile(r"^(.*\S)\s+(?:>|<|!=|==|>=|<=)\s+[\d.]+$")
RUN_SECONDS = 60


def dashboard() -> list[str]:
    """Every expression of the dashboard, its variables set to everything."""
    panels = json.loads((FILES / "dashboard.json").read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel["targets"]]
    for variable, value in (("$namespace", ".*"), ("$name", ".*"), ("$__rate_interval", "20s")):
        found = [expression.replace(variable, value) for expression in found]
    return found


def alerts() -> list[str]:
    """The value that each alert compares."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    compared = [COMPARISON.match(rule["expr"]) for group in groups for rule in group["rules"]]
    return [found[1] for found in compared if found]


@pytest.fixture
def ports() -> Iterator[int]:
    """Ports of the cluster's network, which only the tests use."""
    return iter(random.sample(range(31_000, 32_000), 3))


def test_every_expression_has_data_after_a_minute(shop: Stage, ports: Iterator[int], tmp_path: Path) -> None:
    shop.patch({"spec": {"replicas": 2}})
    shop.ready(2)
    pods = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in shop.pods()}
    operator = f"127.0.0.1:{shop.ports()[1]}"
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [
            {"job_name": "operator", "static_configs": [{"targets": [operator]}]},
            {
                "job_name": "pods",
                "static_configs": [
                    {"targets": [f"{ip}:9090"], "labels": {"namespace": shop.namespace, "pod": name}}
                    for name, ip in pods.items()
                ],
            },
        ],
    }
    file = tmp_path / "prometheus.yml"
    file.write_text(json.dumps(config))
    port = next(ports)
    prometheus = shop.cluster.popen(
        [
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ],
        start_new_session=True,
    )

    def api(path: str, **query: str) -> Any:
        return json.loads(
            shop.fetch(f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query)}")
        )["data"]

    def without_data(expressions: list[str]) -> list[str]:
        """Those that have none; the others are no longer asked for."""
        expressions[:] = [one for one in expressions if not api("query", query=one)["result"]]
        return expressions

    try:
        assert shop.load(6, RUN_SECONDS)() == []

        def up() -> list[str]:
            return [sample["value"][1] for sample in api("query", query="up")["result"]]

        # A scrape that a busy machine holds up for its second is missing, and what needs it.
        shop.until(lambda: up() == ["1"] * 3, 60, "all three to be read")
        empty = dashboard() + alerts()
        shop.until(lambda: not without_data(empty), 60, "data for every expression")
        rules = [rule for group in api("rules")["groups"] for rule in group["rules"]]
        assert len(rules) == len(alerts())
        assert [rule for rule in rules if rule["health"] != "ok"] == []
        requests = api("query", query="sum(mpm_webserver_accesses_total)")["result"][0]["value"][1]
        told = sum(board["totals"]["accesses"] for board in shop.boards())
        assert float(requests) == pytest.approx(told, rel=0.2)
    finally:
        prometheus.terminate()
        prometheus.wait(60)


def test_promtool_finds_nothing_wrong_with_the_operators_metrics(shop: Stage) -> None:
    text = shop.fetch(f"http://127.0.0.1:{shop.ports()[1]}/metrics")
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    assert f'mpm_webserver_workers{{name="shop",namespace="{shop.namespace}",state="idle"}} 5.0' in text


def test_apache_exporter_sees_the_whole_as_one_apache(shop: Stage, ports: Iterator[int]) -> None:
    shop.patch({"spec": {"replicas": 1}})
    shop.kubectl("create", "serviceaccount", "exporter")
    shop.kubectl("create", "role", "exporter", "--verb=get", "--resource=webservers.mpm-operator.io")
    shop.kubectl(
        "create", "rolebinding", "exporter", "--role=exporter", f"--serviceaccount={shop.namespace}:exporter"
    )
    token = shop.kubectl("create", "token", "exporter").strip()
    path = f"127.0.0.1:{shop.ports()[1]}/apis/webservers/{shop.namespace}/shop/server-status"
    assert shop.load(4, 3)() == []
    port = next(ports)
    exporter = shop.cluster.popen(
        [
            "prometheus-apache-exporter",
            f"--scrape_uri=http://agent:{token}@{path}?auto",
            f"--telemetry.address=127.0.0.1:{port}",
        ],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        found: dict[str, float] = {}

        def read() -> bool:
            try:
                text = shop.fetch(f"http://127.0.0.1:{port}/metrics")
            except Exception:  # not up yet: the program of the cluster's network failed
                time.sleep(0.2)
                return False
            lines = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("apache_")]
            found.update({name: float(value) for name, value in lines})
            return found.get("apache_accesses_total") == sum(board["totals"]["accesses"] for board in boards)

        boards = shop.boards()
        shop.until(read, 60, "the exporter to read what the pod has counted")
        assert found["apache_accesses_total"] > 50
        assert found['apache_workers{state="idle"}'] == sum(board["workers"]["idle"] for board in boards)
        assert found['apache_scoreboard{state="idle"}'] == found['apache_workers{state="idle"}']
        assert found['apache_scoreboard{state="open_slot"}'] == 60 - found['apache_workers{state="idle"}']
        assert found['apache_processes{state="all"}'] == len(boards)
    finally:
        exporter.terminate()
        exporter.wait(60)
