"""Recycling by requests and by memory: the replacement first, one at a time, and nobody notices."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest

APPS = Path(__file__).parent / "apps"


def pids(board) -> set[int]:
    return {process["pid"] for process in board["processes"]}


def ended(worker) -> dict[str, int]:
    text = worker.admin("/metrics")[2].decode()
    found = re.findall(r'mpm_servers_ended_total\{reason="(\w+)"\} (\d+)', text)
    return {why: int(count) for why, count in found if count != "0"}


def test_so_many_requests_on_one_connection(start, hammer, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "2", "--threads", "2", "--max-requests-per-child", "30")
    before = pids(worker.scoreboard())
    clients = hammer(worker.port, 3)
    worker.await_board(lambda board: not before & pids(board))
    clients.stop()
    assert clients.failures == []
    assert set(ended(worker)) == {"worn"}


def test_a_process_that_grows_is_replaced_before_it_goes(start, hammer, mpm: str) -> None:
    worker = start(
        *("--mpm", mpm, "--processes", "1", "--threads", "4" if mpm != "prefork" else "1"),
        *("--max-rss", str(100 << 20), "--keep-alive-timeout", "20"),
        app="trouble:app",
    )
    (first,) = pids(worker.scoreboard())
    clients = hammer(worker.port, 2, "/sleep/0.02")
    assert worker.get("/grow/100")[0] == 200
    # Never without a server that is ready.
    end = time.monotonic() + 60
    while first in pids(board := worker.scoreboard()):
        assert worker.admin("/readyz")[0] == 200
        assert time.monotonic() < end, board
    clients.stop()
    assert clients.failures == []
    assert ended(worker) == {"memory": 1}
    worker.await_line(f"server {first} has grown to [0-9]+ MiB and is replaced")


def test_memory_that_an_application_starts_with_is_no_growth(start, tmp_path) -> None:
    (tmp_path / "large.py").write_text(
        "import os\nfrom trouble import app\nballast = os.urandom(1 << 16) * (16 * 100)\n"
    )
    shutil.copy(APPS / "trouble.py", tmp_path)
    worker = start("--processes", "1", "--max-rss", str(50 << 20), app="large:app", chdir=tmp_path)
    before = pids(worker.scoreboard())
    time.sleep(2.5)
    assert pids(worker.scoreboard()) == before


def test_one_at_a_time(start) -> None:
    options = ("--mpm", "prefork", "--processes", "3", "--max-rss", str(90 << 20))
    worker = start(*options, app="trouble:app")
    before = pids(worker.scoreboard())
    grown: set[int] = set()
    for _ in range(200):
        grown.add(int(worker.get("/grow/90")[2]))
        if len(grown & before) >= 2:
            break
    end = time.monotonic() + 60
    while grown & pids(board := worker.scoreboard()):
        assert board["servers"] <= 4  # one replacement beside the three
        assert time.monotonic() < end, (grown, board)


@pytest.mark.parametrize("option", ["--max-rss", "--max-requests-per-child"])
def test_zero_is_never(start, option: str) -> None:
    worker = start("--processes", "1", option, "0", app="trouble:app")
    before = pids(worker.scoreboard())
    for _ in range(20):
        worker.get("/grow/5")
    time.sleep(1.5)
    assert pids(worker.scoreboard()) == before
