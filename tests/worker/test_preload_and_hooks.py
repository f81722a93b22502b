"""The application imported once for all servers, and functions that are called as servers come and go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHOP = """
import os
imported_by = os.getpid()

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{imported_by} {os.getpid()}".encode()]
"""

HOOKS = """
import os

def note(name, *seat):
    with open("notes", "a") as file:
        print(name, os.getpid(), *seat, file=file)

def when_ready():
    note("when_ready")

def pre_fork(seat):
    note("pre_fork", seat)

def post_fork(seat):
    note("post_fork", seat)

def post_worker_init(seat):
    note("post_worker_init", seat)

def worker_exit(seat):
    note("worker_exit", seat)
"""


def begin(start, folder: Path, *options: str, shop: str = SHOP, hooks: str = HOOKS):
    (folder / "shop.py").write_text(shop)
    (folder / "moments.py").write_text(hooks)
    return start(*options, app="shop:app", chdir=folder)


def soon(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def notes(folder: Path) -> list[list[str]]:
    return [line.split() for line in (folder / "notes").read_text().splitlines()]


def test_a_preloaded_application_is_imported_by_the_supervisor(start, tmp_path, mpm: str) -> None:
    worker = begin(start, tmp_path, "--mpm", mpm, "--processes", "2", "--threads", "2", "--preload", "on")
    imported_by, served_by = worker.get()[2].split()
    assert int(imported_by) == worker.process.pid
    assert int(served_by) in {process["pid"] for process in worker.scoreboard()["processes"]}


def test_what_an_import_prints_is_printed_once(start, tmp_path) -> None:
    shop = f"import sys\nsys.stdout = open('printed', 'a')\nprint('imported')\n{SHOP}"
    worker = begin(start, tmp_path, "--processes", "3", "--preload", "on", shop=shop)
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    assert (tmp_path / "printed").read_text() == "imported\n"


def test_a_restart_says_that_preloaded_code_stays(start, tmp_path) -> None:
    worker = begin(start, tmp_path, "--processes", "1", "--threads", "1", "--preload", "on")
    worker.signal(signal.SIGHUP)
    worker.await_line("the application was preloaded: new servers have its code of the start")
    worker.await_board(lambda board: board["generation"] == 1 and board["servers"] == 1)
    assert worker.get()[0] == 200


@pytest.mark.parametrize(
    ("shop", "told"),
    [
        ("raise RuntimeError('half an edit')\n", "RuntimeError: half an edit"),
        (
            "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
            + SHOP,
            "its import starts threads",
        ),
    ],
)
def test_what_cannot_be_preloaded_is_told(tmp_path, shop: str, told: str) -> None:
    (tmp_path / "shop.py").write_text(shop)
    command = [sys.executable, "-P", "-m", "mpm_worker", "--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    done = subprocess.run(
        [*command, "--chdir", tmp_path, "--preload", "on", "shop:app"],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert told in done.stderr


def test_every_moment_is_told_in_its_place(start, tmp_path, mpm: str) -> None:
    worker = begin(start, tmp_path, "--mpm", mpm, "--processes", "1", "--threads", "2", "--hooks", "moments")
    supervisor, first = str(worker.process.pid), str(worker.scoreboard()["processes"][0]["pid"])
    worker.await_board(lambda _: len(notes(tmp_path)) >= 4)
    assert notes(tmp_path) == [
        ["pre_fork", supervisor, "0"],
        ["post_fork", first, "0"],
        ["post_worker_init", first, "0"],
        ["when_ready", supervisor],
    ]
    worker.signal(signal.SIGHUP)
    worker.await_board(lambda board: first not in {str(process["pid"]) for process in board["processes"]})
    second = str(worker.scoreboard()["processes"][0]["pid"])
    assert notes(tmp_path)[4:] == [
        ["pre_fork", supervisor, "0"],
        ["post_fork", second, "0"],
        ["post_worker_init", second, "0"],
        ["worker_exit", first, "0"],
    ]


def test_a_hook_of_the_supervisor_that_fails_stops_nothing(start, tmp_path) -> None:
    hooks = "def pre_fork(seat):\n    raise RuntimeError('not today')\n\nwhen_ready = pre_fork\n"
    worker = begin(start, tmp_path, "--processes", "1", "--threads", "1", "--hooks", "moments", hooks=hooks)
    worker.await_line("RuntimeError: not today")
    worker.await_line("TypeError: pre_fork")
    assert worker.get()[0] == 200


def test_a_server_whose_hook_fails_does_not_start_and_the_old_one_stays(start, tmp_path) -> None:
    hooks = (
        "import os\n\ndef post_fork(seat):\n    if os.path.exists('bad'):\n        raise RuntimeError('no')\n"
    )
    worker = begin(start, tmp_path, "--processes", "1", "--threads", "1", "--hooks", "moments", hooks=hooks)
    before = worker.get()[2]
    (tmp_path / "bad").touch()
    worker.signal(signal.SIGHUP)
    worker.await_line("a function of --hooks moments failed")
    worker.await_line("graceful restart given up")
    assert worker.get()[2] == before


def test_code_that_hangs_while_it_is_imported_keeps_no_newer_code_out(start, tmp_path) -> None:
    worker = begin(start, tmp_path, "--processes", "1", "--threads", "1")
    (tmp_path / "shop.py").write_text("open('hangs', 'w').close()\nimport time\ntime.sleep(300)\n" + SHOP)
    worker.signal(signal.SIGHUP)
    soon(lambda: (tmp_path / "hangs").exists())
    (tmp_path / "shop.py").write_text(SHOP.replace('f"{imported_by} ', 'f"new {imported_by} '))
    worker.signal(signal.SIGHUP)
    soon(lambda: worker.get()[2].startswith(b"new"))


def test_a_module_without_a_hook_is_told(start, tmp_path) -> None:
    worker = begin(start, tmp_path, "--processes", "1", "--threads", "1", "--hooks", "moments", hooks="")
    worker.await_line("--hooks moments: it has no function called when_ready, pre_fork")
    assert os.path.exists(f"/proc/{worker.process.pid}")
