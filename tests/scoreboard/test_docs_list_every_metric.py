"""docs/scoreboard.md names every metric that is exposed, with its labels, and none that is not."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from mpm_operator.kube import metrics as own
from mpm_operator.kube.caches import Caches
from mpm_operator.kube.merged import Merged
from mpm_operator.kube.webserver_metrics import WebServerMetrics
from mpm_worker import metrics
from mpm_worker.brood import REASONS
from mpm_worker.cgroup import Allowance
from mpm_worker.listeners import Backlog
from mpm_worker.observe import Durations, Load, Resources, Totals
from mpm_worker.procfs import Cpu
from mpm_worker.scoreboard import BOUNDS
from mpm_worker.status import View

DOCS = Path(__file__).parents[2] / "docs" / "scoreboard.md"


def exposed() -> set[str]:
    view = View(
        *("mpm-worker/1.2.3", "event", "shop", 0.0, 0.0, 0.0, 1.0, 0, (0.0, 0.0, 0.0)),
        load=Load(0, 0, 0, Backlog(), 0, 0, 0, 0),
        totals=Totals(0, 0, 0, 0),
        resources=Resources(Cpu(), {}, Allowance(1.0, 0, 0)),
        letters="_",
        servers=1,
        stopping=0,
        durations=Durations((0,) * (len(BOUNDS) + 1), 0.0),
    )
    registry = CollectorRegistry()
    registry.register(WebServerMetrics(Merged(Caches(), lambda _: None), Caches(), lambda: True))
    text = metrics.metrics(view, {}) + (generate_latest(registry) + generate_latest(own.REGISTRY)).decode()
    return set(re.findall(r"^# TYPE (mpm_\w+)", text, re.MULTILINE))


def test_each_is_there_and_no_other() -> None:
    told = set(re.findall(r"`(mpm_\w+)", DOCS.read_text()))
    assert told == exposed()


def test_the_reasons_are_those_of_the_code() -> None:
    (line,) = [
        line for line in DOCS.read_text().splitlines() if line.startswith("| `mpm_servers_ended_total")
    ]
    assert tuple(re.findall(r"`(\w+)`", line)) == REASONS


def test_every_reason_of_a_decision_has_a_series_from_the_start() -> None:
    """`increase()` of a series that appears with its first decision is nothing."""
    page = (DOCS.parent / "operations.md").read_text()
    table = page.partition("`status.decision.reason` | what it means")[2].partition("\n\n")[0]
    reasons = {
        reason for row in table.splitlines()[2:] for reason in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert len(reasons) > 20
    text = generate_latest(own.REGISTRY).decode()
    there = set(re.findall(r'^mpm_operator_decisions_total\{reason="(\w+)"', text, re.MULTILINE))
    assert reasons <= there
