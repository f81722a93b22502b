"""What an application forks is a process of its own: it serves nobody, holds no port, ends when told to."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import time
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
