"""What a person sees of a run: letters, numbers and the reason; in a pipe, one line for each change."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from mpm_operator.core.plan import Decision, Plan, Totals
from mpm_operator.core.snapshot import Pod, PodPhase, PodState, Report
from mpm_operator.local.lines import Lines
from mpm_operator.local.pods import share_out
from mpm_operator.local.table import LiveTable
from mpm_operator.local.view import LoadLine, View

REPORT = Report(
    at=0.0,
    boot="b",
    state=PodState.SERVING,
    servers=1,
    threads_per_child=4,
    threads_ceiling=4,
    busy=3,
    idle=1,
    total=4,
    queue=0,
    backlog_limit=511,
    overflows=0,
    connections=3,
    keep_alive=0,
    accesses=17,
    busy_ms=0,
    cpu_ms=0,
    cpu_quota=1.0,
    throttled_ms=0,
    rss=0,
    memory_limit=0,
)
READY = Pod("shop-1", PodPhase.READY, 0.0, 1.0, REPORT)
FAILED = Pod("shop-2", PodPhase.FAILED, 0.0, trouble="CrashLoopBackOff: exit code 1")
VIEW = View(
    at=12.5,
    name="shop",
    url="http://127.0.0.1:8080",
    mpm="Event",
    pods=(READY, FAILED),
    plan=Plan(
        desired=2,
        replicas=2,
        totals=Totals(3, 1, 4, 0),
        decision=Decision("LoadRose", "2 pods: load 3.1 slots"),
    ),
    processes={"shop-1": [{"letters": "WWW_"}]},
    load=LoadLine(clients=3, requests=40, failures=0),
)


def on_a_terminal(view: View) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=120)
    table = LiveTable(console)
    table.show(view)
    table.close()
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_has_letters_numbers_and_the_reason() -> None:
    shown = on_a_terminal(VIEW)
    assert "pods 1/2   threads 4   busy 3   idle 1   queue 0" in shown
    assert "WWW_" in shown
    assert "LoadRose: 2 pods: load 3.1 slots" in shown
    assert "3 clients, 40 requests, 0 failed" in shown


def test_the_table_says_why_a_pod_is_not_there() -> None:
    assert "CrashLoopBackOff: exit code 1" in on_a_terminal(VIEW)


def test_processes_of_a_pod_are_told_apart() -> None:
    view = replace(VIEW, processes={"shop-1": [{"letters": "W_"}, {"letters": "__"}]})
    assert "W_ __" in on_a_terminal(view)


def test_lines_are_written_when_something_changed_and_only_then(capsys) -> None:
    lines = Lines()
    lines.show(VIEW)
    lines.show(replace(VIEW, at=13.5, load=LoadLine(clients=3, requests=90)))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("  12.5 s  pods 1/2 threads 4 busy 3 idle 1 queue 0 clients 3 failed 0  ")
    assert line.endswith("LoadRose: 2 pods: load 3.1 slots")
    lines.show(replace(VIEW, pods=(READY, READY)))
    assert "pods 2/2 threads 8" in capsys.readouterr().out


def test_the_one_queue_is_counted_once_over_the_ready_pods() -> None:
    starting = Pod("shop-3", PodPhase.STARTING, 0.0)
    shared = share_out([READY, FAILED, READY, starting, READY], 7)
    assert [pod.report.queue for pod in shared if pod.report] == [3, 2, 2]
