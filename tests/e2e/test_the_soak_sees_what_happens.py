"""The soak's own eyes: failures of clients are counted; what it says of pods follows from what was seen."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from soak import record as seen
from soak import report
from soak.record import Line, Pod, Record
from soak.stage import LOAD

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Pod: a\r\n\r\nok\n"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (WHOLE, None),
        (WHOLE[:-1], "short"),
        (b"", "short"),
        (WHOLE.replace(b"200 OK", b"503 No"), "status 503"),
    ],
    ids=["whole", "cut body", "closed without a word", "5xx"],
)
def test_a_client_calls_failed_what_a_user_would(answer: bytes, kind: str | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_answer, args=(listener, answer), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        argv = [sys.executable, LOAD / "steady.py", url, "--clients=1", "--period=0.05"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(argv, text=True, **pipes) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            said = [next(line for line in process.stdout if '"second"' in line or "failure" in line)]
            process.stdin.close()
            said += process.stdout
    lines = [json.loads(line) for line in said]
    kinds = {line["failure"] for line in lines if "failure" in line}
    assert kinds == ({kind} if kind else set())
    assert lines[-1]["failed"] == (lines[-1]["requests"] if kind else 0)
    assert lines[-1]["requests"] > 0


def _answer(listener: socket.socket, answer: bytes) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(4096)
            connection.sendall(answer)


def pod(name: str, created: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "creationTimestamp": created, **more}, "status": {"podIP": "10.0.0.1"}}


def line(name: str, at: float, state: str, busy: int) -> dict[str, Any]:
    numbers = {"queue": 0, "total": 8, "accesses": 0, "cut": 0, "threads": 8}
    return {"pod": name, "at": at, "state": state, "busy": busy, "settings": {}, "boot": "b", **numbers}


@pytest.fixture
def record() -> Record:
    """An old busy pod, and a young idle one that is taken away."""
    found = Record()
    found.hear_pod("ADDED", pod("old", "2026-01-01T00:00:00Z"))
    found.hear_pod("ADDED", pod("young", "2026-01-01T00:01:00Z"))
    return found


def scale_in(record: Record, name: str, busy: int) -> None:
    cost = {"controller.kubernetes.io/pod-deletion-cost": "-1000"}
    record.hear_line(line(name, record.began + 1, "Serving", 7))
    record.hear_line(line(name, record.began + 2, "Quiescing", busy))
    told = pod(name, "2026-01-01T00:00:00Z", annotations=cost, deletionTimestamp="2026-01-01T00:02:00Z")
    record.hear_pod("MODIFIED", told)
    record.pods[name].told_at = record.began + 3


def test_a_busy_victim_is_seen(record: Record) -> None:
    scale_in(record, "old", busy=3)
    assert seen.busy_when_scaled_in(record) == {"pods": 1, "busy": 1}


def test_the_choice_is_compared_with_newest_first(record: Record) -> None:
    record.hear_line(line("young", record.began + 1, "Serving", 5))
    scale_in(record, "old", busy=1)
    assert seen.busy_at_choice(record) == {"ours": 1, "newest_first": 5}


def test_a_failure_is_told_with_what_was_going_on(record: Record) -> None:
    with record.doing("rollout", "1"):
        pass
    assert record.going_on(record.began) == ["rollout (1)"]
    assert record.going_on(record.began + 60) == []


def test_the_section_of_the_results_is_replaced_and_nothing_else(record: Record, tmp_path: Path) -> None:
    record.ended = record.began + 10
    record.seconds = [{"second": record.began + 1, "requests": 100, "failed": 0}]
    record.demand = [(record.began, 100)]
    record.hear_client(
        {"summary": True, "requests": 100, "connections": 5, "p50_ms": 1, "p95_ms": 2, "p99_ms": 3}
    )
    page = tmp_path / "RESULTS.md"
    page.write_text("before\n")
    report.write(page, {"soak": report.figures(record)})
    page.write_text(page.read_text() + "after\n")
    once = page.read_text()
    report.write(page, {"soak": report.figures(record)})
    assert page.read_text() == once
    assert once.startswith("before\n")
    assert "**missed**" in once, "100 requests are not 200,000"


def test_a_pod_that_was_killed_is_told_apart_by_whether_it_ran_when_it_was_told_to_end() -> None:
    def pod(name: str, heard_at: float) -> Pod:
        line = Line(heard_at, "Serving", 0, 0, 5, {}, 0, 0, 5)
        return Pod(name, 100.0, told_at=110.0, gone_at=185.0, exit_codes=[137], lines=[line])

    record = Record(pods={"ran": pod("ran", 105.0), "began": pod("began", 111.0)})
    found = seen.exits(record)
    assert found["exit_codes"] == {"137": 2}
    assert {one["pod"]: one["heard_before"] for one in found["killed"]} == {"ran": True, "began": False}
