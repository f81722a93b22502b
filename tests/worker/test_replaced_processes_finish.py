"""A process that is replaced or no longer wanted ends when its requests do; only a stop has a deadline."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mpm_worker import options
from mpm_worker.addresses import open_listeners
from mpm_worker.brood import Brood
from mpm_worker.scoreboard import Live, Scoreboard, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

APPS = Path(__file__).parent / "apps"

SLOW = """
import os, time
while os.path.exists("slow"):
    time.sleep(0.01)

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def asked(worker, path: str) -> tuple[threading.Thread, list[int]]:
    """One request under way, and where its status will be."""
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(worker.get(path)[0]))
    thread.start()
    worker.await_board(lambda board: board["workers"]["busy"] == 1)
    return thread, answers


def test_a_request_longer_than_the_graceful_timeout_survives_a_restart(start, gate, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "1", "--threads", "2", "--graceful-timeout", "0.3")
    thread, answers = asked(worker, gate.path)
    worker.signal(signal.SIGHUP)
    worker.await_board(lambda board: board["servers"] == 2)
    time.sleep(1)
    gate.open()
    thread.join(60)
    assert answers == [200]
    worker.await_board(lambda board: board["servers"] == 1)


def test_a_process_too_many_finishes_its_request(start, gate) -> None:
    worker = start("--mpm", "worker", "--processes", "2", "--threads", "1", "--graceful-timeout", "0.3")
    threads = [asked(worker, gate.path)]
    answers: list[int] = []
    second = threading.Thread(target=lambda: answers.append(worker.get(gate.path)[0]))
    second.start()
    worker.await_board(lambda board: board["workers"]["busy"] == 2)
    assert worker.call("PUT", "/control", {"processes": 1})[0] == 200
    time.sleep(1)
    gate.open()
    threads[0][0].join(60)
    second.join(60)
    assert threads[0][1] + answers == [200, 200]
    worker.await_board(lambda board: board["servers"] == 1)


def test_one_that_is_killed_before_it_has_finished_is_told(start) -> None:
    worker = start("--mpm", "worker", "--processes", "1", "--threads", "2")
    old = worker.scoreboard()["processes"][0]["pid"]
    with worker.connect() as sock:
        sock.sendall(b"GET /sleep/200 HTTP/1.1\r\nHost: x\r\n\r\n")
        worker.await_board(lambda board: board["workers"]["busy"] == 1)
        worker.signal(signal.SIGHUP)
        worker.await_board(lambda board: {p["pid"] for p in board["processes"] if p["retiring"]} == {old})
        os.kill(old, signal.SIGKILL)
        worker.await_line(f"server {old} was killed by SIGKILL")


def test_who_says_ready_shows_every_slot(start, mpm: str, tmp_path) -> None:
    (tmp_path / "late.py").write_text(SLOW)
    (tmp_path / "slow").touch()
    options = ("--mpm", mpm, "--processes", "1", "--threads", "20")
    worker = start(*options, app="late:app", chdir=tmp_path, ready=False)
    watch = worker.watch()
    (tmp_path / "slow").unlink()
    line = watch.await_edge("Ready")
    watch.close()
    assert line["workers"]["idle"] == line["workers"]["total"] == line["settings"]["threadsPerChild"]


def test_a_process_that_still_imports_is_ended_at_once(start, tmp_path) -> None:
    (tmp_path / "late.py").write_text(SLOW)
    worker = start("--processes", "1", "--threads", "2", app="late:app", chdir=tmp_path)
    (tmp_path / "slow").touch()
    assert worker.call("PUT", "/control", {"processes": 2})[0] == 200
    worker.await_board(lambda board: board["servers"] == 2)
    assert worker.call("PUT", "/control", {"processes": 1})[0] == 200
    worker.await_board(lambda board: board["servers"] == 1)


@pytest.fixture
def brood() -> Iterator[tuple[Brood, Scoreboard]]:
    """Of one process, in a scoreboard with one row; nobody listens to what it says."""
    chosen = options.load(["--mpm", "worker", "--threads", "1", "paths:app"], {})
    board = Scoreboard(1, 1)
    board.live[Live.THREADS] = 1
    board.live[Live.TIMEOUT] = board.live[Live.KEEP_ALIVE_TIMEOUT] = 1000
    listeners = open_listeners(("127.0.0.1:0",), "--bind", seats=1, backlog=5)
    brood = Brood(chosen, board, listeners, lambda _: None, lambda _: None, lambda: None)
    sys.path.insert(0, str(APPS))
    try:
        brood.maintain(time.monotonic())
    finally:
        sys.path.remove(str(APPS))
    yield brood, board
    for process in brood.processes.values():
        os.kill(process.pid, signal.SIGKILL)
        os.waitpid(process.pid, 0)
        process.channel.close()
    listeners.close()


def test_a_process_that_serves_is_never_taken_for_one_that_imports(brood: tuple[Brood, Scoreboard]) -> None:
    """Though its word of being ready has not been heard yet."""
    (process,) = brood[0].processes.values()
    _await(lambda: brood[1].server(process.row)[Server.UP])
    assert not process.ready
    brood[0].retire(process, time.monotonic(), "surplus")
    _, status = os.waitpid(process.pid, 0)
    process.channel.close()
    brood[0].processes.clear()
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_scoreboard_without_room_for_a_replacement_is_told(
    brood: tuple[Brood, Scoreboard], capfd: pytest.CaptureFixture[str]
) -> None:
    (process,) = brood[0].processes.values()
    brood[0].became_ready(process)
    brood[0].restart()
    now = time.monotonic()
    for _ in range(3):
        brood[0].maintain(now)
    told = "no room for another server: 1 are there, 0 of them finish"
    assert capfd.readouterr().err.count(told) == 1
    assert not process.retired


def _await(wanted: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not wanted():
        assert time.monotonic() < end
        time.sleep(0.01)
