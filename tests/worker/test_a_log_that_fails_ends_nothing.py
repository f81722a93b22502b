"""A full disk or a closed pipe behind standard output and error costs lines, never a server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

APPS = Path(__file__).parent / "apps"
OPTIONS = ["--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--processes", "2", "--threads", "1"]


def pids(admin: str) -> set[int]:
    with urlopen(f"{admin}/scoreboard", timeout=60) as answer:
        board = json.load(answer)
    return {process["pid"] for process in board["processes"]} if board["workers"]["idle"] == 2 else set()


def await_pids(admin: str, wanted: Callable[[set[int]], bool]) -> set[int]:
    end = time.monotonic() + 60
    while not wanted(found := pids(admin)):
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to end"])
def test_the_end_of_one_server_leaves_its_siblings(how: signal.Signals) -> None:
    command = [sys.executable, "-P", "-m", "mpm_worker", *OPTIONS, "--chdir", str(APPS), "paths:app"]
    with Path("/dev/full").open("w") as full:
        worker = subprocess.Popen(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert worker.stderr is not None
    try:
        said = re.search(r"admin on (\S+)", worker.stderr.readline())
        assert said is not None
        first = await_pids(said[1], lambda found: len(found) == 2)
        worker.stderr.close()  # the reader of the log is gone
        victim, sibling = sorted(first)
        os.kill(victim, how)
        later = await_pids(said[1], lambda found: len(found) == 2 and victim not in found)
        assert sibling in later
        worker.terminate()
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait()
