"""Each of mod_status's eleven letters, brought about in a real worker."""

from __future__ import annotations

import signal
import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from mpm_worker.brood import Process
from mpm_worker.observe import letters_of
from mpm_worker.scoreboard import Scoreboard

if TYPE_CHECKING:
    from pathlib import Path

SLOW_PARTS = """
import os, socket, time
from mpm_worker.accesslog import AccessLog

add = AccessLog.add

def wait_for(file):
    while not os.path.exists(file):
        time.sleep(0.01)

def slow_add(self, *arguments):
    wait_for("log now")
    add(self, *arguments)

def slow_lookup(address):
    wait_for("look up now")
    return "client.example", [], [address]

AccessLog.add = slow_add
socket.gethostbyaddr = slow_lookup

def app(environ, start_response):
    start_response("200 OK", [])
    return [environ.get("REMOTE_HOST", "").encode()]
"""

SLOW_START = """
import os, time
while not os.path.exists("start now"):
    time.sleep(0.01)

def app(environ, start_response):
    start_response("200 OK", [])
    return []
"""


def has(letter: str, count: int = 1):
    """Whether so many slots show the letter, in the scoreboard and on the page that agents read."""
    return lambda board: "".join(one["letters"] for one in board["processes"]).count(letter) == count


def shown(worker) -> str:
    lines = worker.admin("/server-status?auto")[2].decode().splitlines()
    return lines[-1].removeprefix("Scoreboard: ")


@pytest.fixture(params=["worker", "event"])
def threaded(request: pytest.FixtureRequest) -> str:
    return request.param


def test_starting_ready_and_open(start, tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(SLOW_START)
    worker = start("--mpm", "worker", "--threads", "3", app="late:app", chdir=tmp_path, ready=False)
    worker.await_board(has("S"))
    assert shown(worker) == "S.."
    (tmp_path / "start now").touch()
    worker.await_board(has("_", 3))
    assert shown(worker) == "___"


def test_slots_that_come_before_the_word_of_their_server_are_no_start() -> None:
    with closing(socket.socket()) as channel:
        board, server = Scoreboard(1, 5), Process(1, 0, 0, 0, channel, 0.0, 0, 0)
        assert letters_of(board, server) == "S...."
        board.letters[0:3] = b"___"
        assert letters_of(board, server) == "___.."


def test_reading_sending_keepalive_and_closing(start, gate) -> None:
    worker = start("--mpm", "worker", "--threads", "4", "--keep-alive-timeout", "60")
    with worker.connect() as reading, worker.connect() as keeping:
        reading.sendall(b"GET / HT")
        keeping.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert keeping.recv(4096)
        sending = threading.Thread(target=worker.get, args=(gate.path,))
        sending.start()
        worker.await_board(lambda board: all(has(letter)(board) for letter in "RKW_"))

        def closing_is_shown() -> bool:
            """A connection is in that state for two seconds, which a busy machine may miss."""
            with worker.connect() as closing:
                closing.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nand more")
                assert closing.recv(4096)
                return sorted(shown(worker)) == sorted("RKCW")

        assert any(closing_is_shown() for _ in range(20))
        gate.open()
        sending.join(60)


def test_logging_and_dns_lookup(start, threaded: str, tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text(SLOW_PARTS)
    log = tmp_path / "access.log"
    worker = start(
        *("--mpm", threaded, "--threads", "2", "--access-log", str(log), "--hostname-lookups", "on"),
        app="parts:app",
        chdir=tmp_path,
    )
    bodies: list[bytes] = []
    asking = threading.Thread(target=lambda: bodies.append(worker.get()[2]))
    asking.start()
    worker.await_board(has("D"))
    (tmp_path / "look up now").touch()
    worker.await_board(has("L"))
    (tmp_path / "log now").touch()
    asking.join(60)
    assert bodies == [b"client.example"]
    worker.await_board(has("_", 2))
    worker.await_board(lambda _: log.read_text().startswith("client.example - - ["))


def test_a_name_that_is_no_host_name_stays_out_of_the_log(start, tmp_path: Path) -> None:
    hostile = SLOW_PARTS.replace("client.example", 'evil\\n1.2.3.4 - - \\"GET')
    (tmp_path / "parts.py").write_text(hostile)
    (tmp_path / "look up now").touch()
    (tmp_path / "log now").touch()
    log = tmp_path / "access.log"
    worker = start(
        *("--mpm", "worker", "--access-log", str(log), "--hostname-lookups", "on"),
        app="parts:app",
        chdir=tmp_path,
    )
    assert worker.get()[2] == b"127.0.0.1"
    worker.await_board(lambda _: log.read_text().startswith("127.0.0.1 - - ["))
    assert "evil" not in log.read_text()


def test_gracefully_finishing_and_idle_cleanup(start, gate, threaded: str) -> None:
    worker = start("--mpm", threaded, "--threads", "3")
    asking = threading.Thread(target=worker.get, args=(gate.path,))
    asking.start()
    worker.await_board(has("W"))
    assert worker.call("POST", "/control/quiesce", {"ttlSeconds": 60})[0] == 200
    worker.await_board(lambda board: has("G")(board) and has("I", 2)(board))
    auto = worker.admin("/server-status?auto")[2].decode()
    assert "\nBusyWorkers: 0\nGracefulWorkers: 1\nIdleWorkers: 0\n" in auto
    gate.open()
    asking.join(60)
    assert worker.call("POST", "/control/resume")[0] == 200
    worker.await_board(has("_", 3))


def test_a_restart_shows_the_old_server_finishing(start, gate, threaded: str) -> None:
    worker = start("--mpm", threaded, "--threads", "2")
    asking = threading.Thread(target=worker.get, args=(gate.path,))
    asking.start()
    worker.await_board(has("W"))
    worker.signal(signal.SIGUSR1)
    worker.await_board(lambda board: has("G")(board) and has("_", 2)(board))
    gate.open()
    asking.join(60)
