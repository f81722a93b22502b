"""Under a real memory limit: the kernel ends one server and the rest goes on; better, none comes so far."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 160 << 20
VERSION_1 = Path("/sys/fs/cgroup/memory")
VERSION_2 = Path("/sys/fs/cgroup")


def _hierarchy() -> tuple[Path, str] | None:
    """Where groups with memory limits can be made, and the file of the limit."""
    if (VERSION_1 / "memory.limit_in_bytes").exists():
        return VERSION_1, "memory.limit_in_bytes"
    control = VERSION_2 / "cgroup.subtree_control"
    if control.exists() and "memory" in control.read_text().split():
        return VERSION_2, "memory.max"
    return None


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group with a memory limit."""
    found = _hierarchy()
    if os.geteuid() or found is None:
        pytest.skip("a memory limit needs root and the memory controller")
    root, name = found
    folder = root / f"mpm-test-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / name).write_text(str(LIMIT))
        with contextlib.suppress(OSError):
            (folder / "memory.swappiness").write_text("0")
        yield folder
    finally:
        end = time.monotonic() + 60
        while True:
            for pid in (folder / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            with contextlib.suppress(OSError):
                folder.rmdir()
                break
            assert time.monotonic() < end, f"{folder} cannot be removed"
            time.sleep(0.1)


def pids(board) -> set[int]:
    return {process["pid"] for process in board["processes"]}


def confined(start, group: Path, *options: str):
    """A worker whose servers were forked inside the group."""
    worker = start("--mpm", "worker", "--processes", "2", "--threads", "2", *options, app="trouble:app")
    before = pids(worker.scoreboard())
    (group / "cgroup.procs").write_text(str(worker.process.pid))
    worker.signal(signal.SIGHUP)
    worker.await_board(lambda board: not before & pids(board) and board["workers"]["idle"] == 4)
    assert worker.await_board(lambda board: board["memory"]["limit"] == LIMIT)
    return worker


def ended(worker) -> dict[str, int]:
    text = worker.admin("/metrics")[2].decode()
    found = re.findall(r'mpm_servers_ended_total\{reason="(\w+)"\} (\d+)', text)
    return {why: int(count) for why, count in found if count != "0"}


def test_the_one_that_grew_is_ended_and_the_others_go_on(start, group: Path) -> None:
    worker = confined(start, group, "--max-rss", "0")
    before = pids(worker.scoreboard())
    with pytest.raises((OSError, http.client.HTTPException)):
        worker.get("/grow/400")
    worker.await_line(r"server \d+ was killed by SIGKILL")
    board = worker.await_board(lambda board: board["workers"]["idle"] == 4)
    assert len(before & pids(board)) == 1
    assert worker.process.poll() is None
    assert worker.get()[0] == 200
    assert ended(worker)["failed"] == 1


def test_a_leak_is_replaced_before_the_limit_is_reached(start, hammer, group: Path) -> None:
    worker = confined(start, group)
    clients = hammer(worker.port, 2, "/sleep/0.02")
    watch = worker.watch()
    end = time.monotonic() + 200
    while ended(worker).get("memory", 0) < 2:
        worker.await_board(lambda board: board["servers"] == 2)
        assert worker.get("/grow/16")[0] == 200
        # A leak that fills the rest between two looks cannot be caught, and each look is followed by a line.
        # The first one may be of a look that came before.
        for _ in range(2):
            watch.await_edge("")
        assert time.monotonic() < end, ended(worker)
    watch.close()
    clients.stop()
    assert clients.failures == []
    assert set(ended(worker)) == {"memory", "restart"}
    worker.await_line(r"server \d+ has grown to \d+ MiB and is replaced")


def test_the_tools_of_this_test_are_there_in_ci() -> None:
    assert os.environ.get("CI") != "true" or (_hierarchy() is not None and shutil.which("mount"))
