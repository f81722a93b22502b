"""Event: what goes wrong outside the application ends a connection, not the process with all of them."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# Virtual memory for some threads' stacks of 8 MiB, not for 64.
FEW_THREADS = """
import re, resource
size = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + (200 << 20), resource.RLIM_INFINITY))

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""

FAULTY = """
import mpm_worker.serving
from mpm_worker.http import Connection

serve, receive = mpm_worker.serving.serve, Connection.receive

def broken_serve(sock, connection, request, *rest):
    if request.path == "/serve":
        raise MemoryError
    return serve(sock, connection, request, *rest)

def broken_receive(self, data):
    if b"/receive" in data:
        raise MemoryError
    receive(self, data)

mpm_worker.serving.serve, Connection.receive = broken_serve, broken_receive

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def begin(start, folder: Path, code: str, *options: str):
    (folder / "faulty.py").write_text(code)
    return start("--mpm", "event", *options, app="faulty:app", chdir=folder, ready=False)


def test_a_system_without_more_threads_leaves_those_there_are(start, tmp_path: Path) -> None:
    worker = begin(start, tmp_path, FEW_THREADS, "--threads", "64", "--thread-limit", "64")
    board = worker.await_board(lambda board: board["state"] == "Serving")
    assert 0 < board["workers"]["idle"] < 64
    assert worker.get()[2] == b"ok"
    later = worker.scoreboard()
    assert [process["pid"] for process in later["processes"]] == [board["processes"][0]["pid"]]


@pytest.mark.parametrize("path", ["/serve", "/receive"])
def test_an_error_of_our_own_ends_one_connection(start, tmp_path: Path, path: str) -> None:
    worker = begin(start, tmp_path, FAULTY, "--threads", "2")
    board = worker.await_board(lambda board: board["workers"]["idle"] == 2)
    with pytest.raises((OSError, http.client.HTTPException)):
        worker.get(path)
    assert worker.get()[2] == b"ok"
    later = worker.await_board(lambda board: board["workers"]["idle"] == 2)
    assert later["processes"][0]["pid"] == board["processes"][0]["pid"]
    worker.await_line("MemoryError")
