"""`mpm run` ends when it is told to: drained, at once, or killed - and never leaves a worker behind."""

from __future__ import annotations

import os
import signal
import threading
import urllib.error
from http.client import HTTPException
from typing import TYPE_CHECKING

import pytest
from running import Running, alive, eventually, get, write

if TYPE_CHECKING:
    from pathlib import Path


class Visitor(threading.Thread):
    """One request in the background, at which the app in `folder` is."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__(daemon=True)
        self.url, self.answer = url, b""
        self.start()
        assert eventually((folder / "asked").exists)

    def run(self) -> None:
        try:
            self.answer = get(self.url)
        except (OSError, urllib.error.URLError, HTTPException):
            self.answer = b"cut"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_finishes_the_running_request_and_ends_everything(tmp_path: Path, number: int) -> None:
    with Running(write(tmp_path)) as run:
        visitor = Visitor(run.serving() + "/?1.5", tmp_path)
        run.interrupt(number)
        assert run.end() == 0
        visitor.join(60)
        assert visitor.answer == b"ok\n"
        assert [pid for pid in run.seen if alive(pid)] == []
        assert "Traceback" not in run.output


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    with Running(write(tmp_path)) as run:
        visitor = Visitor(run.serving() + "/?200", tmp_path)
        run.interrupt()
        run.hear("ending")
        run.interrupt()
        assert run.end(45) == 0  # GracefulShutdownTimeout is 60
        visitor.join(60)
        assert visitor.answer == b"cut"
        assert [pid for pid in run.seen if alive(pid)] == []


def test_a_killed_parent_leaves_no_worker_behind_and_cuts_no_request(tmp_path: Path) -> None:
    with Running(write(tmp_path)) as run:
        visitor = Visitor(run.serving() + "/?1.5", tmp_path)
        assert len(run.look()) >= 2
        run.process.kill()
        assert run.end() == -signal.SIGKILL
        assert eventually(lambda: not any(map(alive, run.seen)))
        visitor.join(60)
        assert visitor.answer == b"ok\n"


def test_a_killed_pod_comes_back(tmp_path: Path) -> None:
    with Running(write(tmp_path)) as run:
        url = run.serving()
        (supervisor,) = run.supervisors()
        old = run.look()
        os.kill(supervisor, signal.SIGKILL)
        assert eventually(lambda: not any(map(alive, old)))
        assert get(url) == b"ok\n"
        assert run.supervisors()
        run.interrupt()
        assert run.end() == 0


def test_a_killed_server_comes_back_inside_its_pod(tmp_path: Path) -> None:
    with Running(write(tmp_path)) as run:
        url = run.serving()
        supervisors = run.supervisors()
        (server,) = run.workers() - supervisors
        os.kill(server, signal.SIGKILL)
        assert eventually(lambda: not alive(server))
        assert get(url) == b"ok\n"
        assert run.supervisors() == supervisors
