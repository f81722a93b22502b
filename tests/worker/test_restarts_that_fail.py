"""New code whose processes die at once: the old ones serve on, it is told, and the tries become rare."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "{size}")])
    return [b"{text}"]
"""
BAD = {
    "exits": "import os\nos._exit(7)\n",
    "killed": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
}


def code(folder: Path, text: str) -> None:
    (folder / "shop.py").write_text(text)


@pytest.mark.parametrize("how", BAD)
def test_the_old_processes_stay_until_the_code_is_good(start, hammer, tmp_path: Path, how: str) -> None:
    code(tmp_path, GOOD.format(size=3, text="old"))
    worker = start("--mpm", "worker", "--processes", "2", "--threads", "2", app="shop:app", chdir=tmp_path)
    before = {process["pid"] for process in worker.scoreboard()["processes"]}
    clients = hammer(worker.port, 2)
    code(tmp_path, BAD[how])
    worker.signal(signal.SIGHUP)
    worker.await_line(r"server \d+ (ended with exit code 7|was killed by SIGSEGV)")
    worker.await_line("3 servers ended one after the other, the next is started in 1 s")
    worker.await_line("4 servers ended one after the other, the next is started in 2 s")
    assert before <= {process["pid"] for process in worker.scoreboard()["processes"]}
    assert worker.get()[2] == b"old"
    assert worker.admin("/readyz")[0] == 200
    code(tmp_path, GOOD.format(size=5, text="newer"))
    worker.await_board(
        lambda board: not before & {process["pid"] for process in board["processes"]}, seconds=40
    )
    assert worker.get()[2] == b"newer"
    clients.stop()
    assert clients.failures == []
    assert len([line for line in worker.said if re.search("ended one after the other", line)]) < 8
