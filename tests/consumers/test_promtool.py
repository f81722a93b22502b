"""Prometheus' own checker on what we expose."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from consuming import read

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("agents")

ALERTS = Path(__file__).parents[2] / "charts" / "mpm-operator" / "files" / "alerts.yaml"
ALERTS_TEST = Path(__file__).with_name("alerts_test.yaml")

INHERITED = ("apache_sent_kilobytes_total", "apache_duration_ms_total", "apache_cpu_time_ms_total")
"""Names of apache_exporter that break the conventions; `mpm_…` has the same in base units."""


def test_metrics_of_a_worker_pass(serve: Callable[..., Any], mpm: str) -> None:
    worker = serve(mpm)
    text = read(f"http://127.0.0.1:{worker.admin_port}/metrics")
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    complaints = [line for line in checked.stderr.splitlines() if not line.startswith(INHERITED)]
    assert complaints == []
    assert checked.returncode in (0, 3)  # 3: the inherited ones


def test_the_alert_rules_are_right_and_fire_when_they_have_to() -> None:
    for command in (["check", "rules", str(ALERTS)], ["test", "rules", str(ALERTS_TEST)]):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tested_both_ways() -> None:
    names = re.findall(r"- alert: (\w+)", ALERTS.read_text())
    tests = ALERTS_TEST.read_text()
    for name in names:
        assert f"- alertname: {name}\n" in tests
        assert f"{{alertname: {name}, eval_time: 20m, exp_alerts: []}}" in tests
