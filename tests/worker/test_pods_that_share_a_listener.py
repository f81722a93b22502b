"""Pods behind one handed-down listener: who is quiesced leaves it to the others and is drained at once."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOTS = ("--processes", "1", "--threads", "2", "--keep-alive-timeout", "30")
LAST = 1
"""A process woken for a connection and for the quiesce accepts first: nobody else was woken for it."""


@pytest.fixture
def handed_down() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def begin(start, mpm: str, sock: socket.socket):
    return start("--mpm", mpm, *SLOTS, "--bind", f"fd://{sock.fileno()}", fds=(sock.fileno(),))


def accesses(worker) -> int:
    return worker.scoreboard()["totals"]["accesses"]


def quiesce(worker) -> None:
    assert worker.call("POST", "/control/quiesce", {"ttlSeconds": 200})[0] == 200


def test_who_is_quiesced_takes_no_more_and_comes_back(start, mpm: str, handed_down: socket.socket) -> None:
    leaving, staying = begin(start, mpm, handed_down), begin(start, mpm, handed_down)
    quiesce(leaving)
    leaving.await_board(lambda board: board["state"] == "Drained")
    before = accesses(leaving)
    for _ in range(30):
        assert staying.get()[0] == 200
    assert accesses(leaving) <= before + LAST
    assert leaving.call("POST", "/control/resume")[0] == 200
    quiesce(staying)
    staying.await_board(lambda board: board["state"] == "Drained")
    before = accesses(leaving)
    for _ in range(30):
        assert leaving.get()[0] == 200
    # The last one is counted after its answer.
    leaving.await_board(lambda _: accesses(leaving) >= before + 30 - LAST)


def test_its_connections_are_served_to_their_end(start, mpm: str, handed_down: socket.socket) -> None:
    leaving = begin(start, mpm, handed_down)
    with leaving.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        staying = begin(start, mpm, handed_down)
        quiesce(leaving)
        assert leaving.scoreboard()["state"] == "Quiescing"
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"connection: close" in sock.recv(4096).lower()
    leaving.await_board(lambda board: board["state"] == "Drained")
    assert staying.get()[0] == 200


def test_a_queue_that_others_will_serve_keeps_nobody_from_being_drained(
    start, gate, handed_down: socket.socket
) -> None:
    leaving, staying = begin(start, "worker", handed_down), begin(start, "worker", handed_down)
    quiesce(leaving)
    threads = [threading.Thread(target=staying.get, args=(gate.path,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    staying.await_board(lambda board: board["backlog"]["depth"] == 2)
    leaving.await_board(lambda board: board["state"] == "Drained")
    gate.open()
    for thread in threads:
        thread.join(60)
