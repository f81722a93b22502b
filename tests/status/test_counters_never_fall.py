"""`/metrics` of a real worker whose processes die, wear out and are started anew: no counter ever falls."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from http.client import HTTPException
from typing import TYPE_CHECKING

import pytest
from worker_process import MODELS, WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

APP = """
def app(environ, start_response):
    sum(range(20_000))
    start_response("200 OK", [("Content-Length", "3")])
    return [b"ok\\n"]
"""
GROWING = ("_total", "_bucket", "_sum", "_count")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    started: list[WorkerProcess] = []

    def begin(*options: str) -> WorkerProcess:
        (tmp_path / "app.py").write_text(APP)
        started.append(WorkerProcess("--chdir", str(tmp_path), *options, "app:app"))
        started[-1].await_line("listening on")
        return started[-1]

    yield begin
    for worker in started:
        worker.end()


def counters(worker: WorkerProcess) -> dict[str, float]:
    text = worker.admin("/metrics")[2].decode()
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines if name.partition("{")[0].endswith(GROWING)}


@pytest.mark.parametrize("mpm", MODELS)
def test_whatever_becomes_of_processes(serve: Callable[..., WorkerProcess], mpm: str) -> None:
    worker = serve("--mpm", mpm, "--processes", "2", "--threads", "2", "--max-connections-per-child", "20")
    stop, served = threading.Event(), list[int]()

    def ask() -> None:
        while not stop.is_set():
            try:
                served.append(worker.get()[0])
            except (OSError, HTTPException):  # its process was killed
                pass

    asking = threading.Thread(target=ask)
    asking.start()
    seen = counters(worker)
    try:
        for event in ("", "kill", "restart", ""):
            if event == "kill":
                with suppress(ProcessLookupError):  # it may just have gone, worn out
                    os.kill(worker.scoreboard()["processes"][0]["pid"], signal.SIGKILL)
            elif event == "restart":
                worker.process.send_signal(signal.SIGHUP)
            for _ in range(4):
                before = len(served)
                worker.await_board(lambda _, before=before: len(served) >= before + 10)
                now = counters(worker)
                assert {name for name in seen if now[name] < seen[name]} == set()
                seen = now
        worker.await_board(lambda board: all(one["generation"] for one in board["processes"]))
        now = counters(worker)
        assert {name for name in seen if now[name] < seen[name]} == set()
    finally:
        stop.set()
        asking.join(60)
    assert not asking.is_alive()
    assert seen["apache_accesses_total"] >= 150  # one is counted after its answer is read
    assert (
        seen["mpm_request_duration_seconds_count"] == seen['mpm_request_duration_seconds_bucket{le="+Inf"}']
    )
    assert seen['mpm_servers_ended_total{reason="worn"}'] > 0
