"""What an application forks is a process of its own: it serves nobody, holds no port, ends when told to."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest


def _single(mpm: str) -> tuple[str, ...]:
    return ("--mpm", mpm, "--processes", "1", "--threads", "2", "--keep-alive-timeout", "60")


def _await_end(pid: int) -> None:
    """Until it is gone, or nobody but its parent could tell."""
    end = time.monotonic() + 60
    while _state(pid) not in ("", "Z"):
        assert time.monotonic() < end, f"{pid} lives"
        time.sleep(0.05)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.parametrize("path", ["/return", "/exit"])
def test_one_that_comes_back_from_its_request_ends_and_answers_nobody(start, mpm: str, path: str) -> None:
    worker = start(*_single(mpm), app="forks:app")
    connection = http.client.HTTPConnection("127.0.0.1", worker.port, timeout=60)
    for _ in range(3):
        connection.request("GET", path)
        # Anything that a second process sent would be taken for the begin of the next response.
        response = connection.getresponse()
        assert response.status == 200
        _await_end(int(response.read()))
    connection.close()
    worker.await_line(r"GET /\w+: a process that the application has forked came back from it and is ended")
    board = worker.await_idle()
    assert board["servers"] == 1
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    _is_free(worker.port)


def test_one_that_stays_holds_neither_port_nor_connection(start, mpm: str) -> None:
    worker = start(*_single(mpm), app="forks:app")
    pids = []
    try:
        with worker.connect() as sock:
            sock.sendall(b"GET /stay HTTP/1.0\r\n\r\n")
            pids.append(int(sock.makefile("rb").read().rpartition(b"\r\n\r\n")[2]))
        with pytest.raises(http.client.IncompleteRead):
            worker.get("/break")
        pids += [pid for pid in _group(worker.process.pid) if pid not in (*pids, worker.child)]
        worker.signal(signal.SIGTERM)
        assert worker.exit_code() == 0
        assert _state(pids[0]) not in ("", "Z")
        _is_free(worker.port)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def _group(leader: int) -> list[int]:
    """All processes of the session but its leader."""
    everyone = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]
    return [pid for pid in everyone if pid != leader and _session(pid) == leader]


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def _is_free(port: int) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen()


def test_one_that_is_terminated_ends_and_its_server_goes_on(start, mpm: str) -> None:
    worker = start(*_single(mpm), app="forks:app")
    before = worker.child
    assert worker.get("/terminate")[2] == b"-15\n"
    assert worker.get("/interrupt")[2] == b"-2\n"
    assert worker.child == before
    assert worker.get("/")[2] == f"{before}\n".encode()


def test_the_files_of_one_that_forks_are_its_own(start, mpm: str) -> None:
    worker = start(*_single(mpm), app="forks:app")
    assert worker.get("/again")[2] == b"0\n"


JOBS = """
import multiprocessing, time

def start():
    begin = multiprocessing.get_context("fork").Process
    jobs = [begin(target=time.sleep, args=(600,), daemon=True) for _ in range(2)]
    for job in jobs:
        job.start()
    with open("jobs", "w") as file:
        print(*(job.pid for job in jobs), file=file)
"""
IMPORTED = """
import jobs
jobs.start()

def app(environ, start_response):
    start_response("200 OK", [])
    return []
"""


@pytest.mark.parametrize("where", ["when_ready", "pre_fork", "import"])
def test_what_the_supervisor_forks_for_others_is_no_supervisor(start, tmp_path, mpm: str, where: str) -> None:
    (tmp_path / "jobs.py").write_text(JOBS)
    (tmp_path / "shop.py").write_text(IMPORTED if where == "import" else IMPORTED.replace("jobs.start()", ""))
    (tmp_path / "moments.py").write_text(f"import jobs\ndef {where}(*seat): jobs.start()\n")
    options = ("--preload", "on") if where == "import" else ("--hooks", "moments")
    worker = start(*_single(mpm), *options, app="shop:app", chdir=tmp_path)
    worker.await_board(lambda _: len(_pids(tmp_path)) == 2)
    first, second = _pids(tmp_path)
    server = worker.scoreboard()["processes"][0]["pid"]
    for other in (worker.process.pid, server):
        worker.await_board(lambda _, other=other: not _sockets(first) & _sockets(other))
    os.kill(first, signal.SIGTERM)
    _await_end(first)
    assert worker.get()[0] == 200
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    _await_end(second)


@pytest.mark.parametrize("end", ["", "sys.exit(1)"])
@pytest.mark.parametrize("where", ["when_ready", "pre_fork", "import"])
def test_one_that_comes_back_to_the_supervisor_ends(start, tmp_path, where: str, end: str) -> None:
    (tmp_path / "jobs.py").write_text(
        f"import os, sys\ndef start():\n  if not os.fork():\n    print()\n    {end}\n"
    )
    (tmp_path / "shop.py").write_text(IMPORTED if where == "import" else IMPORTED.replace("jobs.start()", ""))
    (tmp_path / "moments.py").write_text(f"import jobs\ndef {where}(*seat): jobs.start()\n")
    options = ("--preload", "on") if where == "import" else ("--hooks", "moments")
    worker = start("--processes", "1", *options, app="shop:app", chdir=tmp_path)
    place = "shop:app" if where == "import" else f"{where} of --hooks"
    worker.await_line(f"{place}: a process that the application has forked came back from it and is ended")
    assert worker.get()[0] == 200
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0


TERMINATED = """
import multiprocessing, time

def when_ready():
    ends = set()
    for _ in range(50):
        job = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
        job.start()
        job.terminate()
        job.join()
        ends.add(job.exitcode)
    with open("ends", "w") as file:
        print("all ended with", ends, file=file)
"""


def test_a_signal_for_what_the_supervisor_has_just_forked_is_not_the_supervisors(start, tmp_path) -> None:
    (tmp_path / "shop.py").write_text(IMPORTED.replace("jobs.start()", "").replace("import jobs", ""))
    (tmp_path / "moments.py").write_text(TERMINATED)
    worker = start("--processes", "1", "--hooks", "moments", app="shop:app", chdir=tmp_path)
    worker.await_board(lambda _: (tmp_path / "ends").exists() and (tmp_path / "ends").read_text())
    assert (tmp_path / "ends").read_text() == "all ended with {-15}\n"
    assert worker.get()[0] == 200
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0


def _pids(folder: Path) -> list[int]:
    text = (folder / "jobs").read_text() if (folder / "jobs").exists() else ""
    return [int(pid) for pid in text.split()] if text.endswith("\n") else []


def _sockets(pid: int) -> set[str]:
    found = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed by now
            found.add(os.readlink(each))
    return {name for name in found if name.startswith("socket:")}
