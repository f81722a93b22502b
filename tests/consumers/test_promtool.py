"""Prometheus' own checker on what we expose."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from consuming import read

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("agents")

INHERITED = ("apache_sent_kilobytes_total", "apache_duration_ms_total", "apache_cpu_time_ms_total")
"""Names of apache_exporter that break the conventions; `mpm_…` has the same in base units."""


def test_metrics_of_a_worker_pass(serve: Callable[..., Any], mpm: str) -> None:
    worker = serve(mpm)
    text = read(f"http://127.0.0.1:{worker.admin}/metrics")
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30, check=False
    )
    complaints = [line for line in checked.stderr.splitlines() if not line.startswith(INHERITED)]
    assert complaints == []
    assert checked.returncode in (0, 3)  # 3: the inherited ones
