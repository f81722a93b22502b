"""Event: a connection whose server has no idle slot goes to a sibling that has one, and nothing is lost."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from collections import defaultdict
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from mpm_worker.passing import Inboxes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

THREADS = 2


def ask(sock: socket.socket, path: str) -> None:
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def answer(sock: socket.socket) -> str:
    data = sock.recv(4096)
    assert data.startswith(b"HTTP/1.1 200"), data
    return data.rpartition(b"\r\n\r\n")[2].decode()


@pytest.fixture
def crowd() -> Iterator[Callable[..., list[socket.socket]]]:
    """Kept connections of one server alone; more, if asked, than it has slots."""
    opened: list[socket.socket] = []

    def gather(worker: Any, size: int) -> list[socket.socket]:
        by_server: dict[str, list[socket.socket]] = defaultdict(list)
        while not any(len(here) == size for here in by_server.values()):
            assert len(opened) < 100, "one server never had enough connections"
            opened.append(sock := worker.connect())
            ask(sock, "/pid")
            by_server[answer(sock)].append(sock)
        for here in by_server.values():
            if len(here) < size:
                for sock in here:
                    sock.close()
        worker.await_board(lambda board: board["connections"]["open"] == size)
        return max(by_server.values(), key=len)

    yield gather
    for sock in opened:
        sock.close()


@pytest.fixture
def inboxes() -> Iterator[Inboxes]:
    inboxes = Inboxes(2)
    yield inboxes
    inboxes.close()


@pytest.fixture
def worker(start: Any) -> Any:
    worker = start(
        *("--mpm", "event", "--processes", "2", "--threads", str(THREADS)),
        *("--async-request-worker-factor", "30", "--keep-alive-timeout", "60"),
    )
    worker.await_ready()
    return worker


def test_requests_go_where_slots_are_idle(worker: Any, crowd: Any, gate: Any) -> None:
    socks = crowd(worker, 2 * THREADS)
    for sock in socks:
        ask(sock, gate.path)
    board = worker.await_board(lambda board: board["workers"]["busy"] == 2 * THREADS)
    assert board["workers"]["queue"] == 0
    gate.open()
    for sock in socks:
        answer(sock)
    for sock in socks:
        ask(sock, "/pid")
    assert len({answer(sock) for sock in socks}) == 2
    assert worker.scoreboard()["connections"]["open"] == len(socks)


def test_they_wait_where_they_are_when_every_slot_is_busy(worker: Any, crowd: Any, gate: Any) -> None:
    socks = crowd(worker, 2 * THREADS + 2)
    for sock in socks:
        ask(sock, gate.path)
    worker.await_board(lambda board: board["workers"]["queue"] == 2)
    gate.open()
    for sock in socks:
        answer(sock)


def test_a_client_that_is_passed_on_keeps_its_count_of_requests(start: Any, crowd: Any) -> None:
    worker = start(
        *("--mpm", "event", "--processes", "2", "--threads", "1", "--max-keep-alive-requests", "3"),
        *("--async-request-worker-factor", "30"),
    )
    worker.await_ready()
    socks = crowd(worker, 2)
    for sock in socks:
        ask(sock, "/sleep/0.5")
    for sock in socks:
        answer(sock)
    for sock in socks:
        ask(sock, "/pid")
        assert b"Connection: close" in sock.recv(4096)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_none_is_lost_when_servers_end_meanwhile(worker: Any, crowd: Any, number: int) -> None:
    socks = crowd(worker, 2 * THREADS)
    for sock in socks:
        ask(sock, "/sleep/0.5")
    time.sleep(0.05)
    worker.signal(number)
    for sock in socks:
        answer(sock)


@pytest.fixture
def passed(start: Any, gate: Any) -> Iterator[tuple[Any, int, int, socket.socket]]:
    """A worker, its server whose slots were all busy, the other, stopped, and what was passed on to that."""
    worker = start("--mpm", "event", "--processes", "2", "--threads", str(THREADS))
    board = worker.scoreboard()
    first, second = (process["pid"] for process in sorted(board["processes"], key=lambda one: one["slot"]))
    with ExitStack() as stack:
        here: list[socket.socket] = []
        while len(here) <= THREADS:
            assert board["totals"]["accesses"] < 100, "the first server had never enough connections"
            sock = stack.enter_context(worker.connect())
            ask(sock, "/pid")
            if answer(sock).startswith(f"{first} "):
                here.append(sock)
            else:
                sock.close()
            board = worker.scoreboard()
        worker.await_board(lambda board: board["connections"]["open"] == len(here))
        os.kill(second, signal.SIGSTOP)
        for sock in here[1:]:
            ask(sock, gate.path)
        worker.await_board(lambda board: board["workers"]["busy"] == THREADS)
        ask(here[0], "/pid")
        worker.await_board(lambda board: board["connections"]["open"] == THREADS)
        gate.open()
        yield worker, first, second, here[0]


def test_who_retires_without_descriptors_still_serves_what_was_passed_to_it(passed: Any) -> None:
    worker, _, goes, sock = passed
    limits = resource.prlimit(goes, resource.RLIMIT_NOFILE)
    resource.prlimit(goes, resource.RLIMIT_NOFILE, (3, limits[1]))
    worker.call("PUT", "/control", {"processes": 1})
    os.kill(goes, signal.SIGCONT)
    time.sleep(0.5)
    resource.prlimit(goes, resource.RLIMIT_NOFILE, limits)
    assert answer(sock).startswith(f"{goes} ")


def test_what_was_passed_to_a_server_that_dies_goes_to_another(passed: Any) -> None:
    worker, stays, dies, sock = passed
    worker.call("PUT", "/control", {"processes": 1})
    os.kill(dies, signal.SIGKILL)
    assert answer(sock).startswith(f"{stays} ")


def test_an_inbox_outlives_who_looked_into_it(inboxes: Inboxes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert inboxes.put(1, ours, 7, b"head")
        if not (child := os.fork()):
            os._exit(0)
        os.waitpid(child, 0)
    assert inboxes.take(0) is None
    passed = inboxes.take(1)
    assert passed is not None
    assert passed[1:] == (7, b"head")
    assert inboxes.take(1) is None
    passed[0].close()


def test_a_connection_waits_for_whom_no_descriptor_is_left(inboxes: Inboxes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert inboxes.put(1, ours, 7, b"head")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.open("/dev/null", os.O_RDONLY)
    os.close(spare)
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            inboxes.take(1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    passed = inboxes.take(1)
    assert passed is not None
    assert passed[1:] == (7, b"head")
    passed[0].close()


def test_a_full_inbox_takes_no_more(inboxes: Inboxes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        count = 0
        while inboxes.put(0, ours, 0, b""):
            count += 1
            assert count < 100_000
        for _ in range(count):
            passed = inboxes.take(0)
            assert passed is not None
            passed[0].close()
