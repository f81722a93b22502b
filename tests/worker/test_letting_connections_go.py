"""Keep-alive connections give way: to a queue, and to new pods when the operator rebalances."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def told(sock: socket.socket) -> bool:
    sock.sendall(GET)
    return b"connection: close" in sock.recv(4096).lower()


def stays_open(sock: socket.socket, seconds: float) -> bool:
    sock.settimeout(seconds)
    try:
        return sock.recv(1) != b""
    except TimeoutError:
        return True
    finally:
        sock.settimeout(60)


def test_rebalance_lets_go_of_the_share(start) -> None:
    worker = start("--mpm", "event", "--threads", "4", "--async-request-worker-factor", "10")
    socks = [worker.connect() for _ in range(20)]
    assert not any(told(sock) for sock in socks)
    assert worker.call("POST", "/control/rebalance", {"share": 0.5})[0] == 200
    gone = sum(told(sock) for sock in socks)
    assert 7 <= gone <= 13
    newcomer = worker.connect()
    assert not told(newcomer)
    for sock in (*socks, newcomer):
        sock.close()


def test_an_idle_connection_hears_of_a_rebalance_in_its_next_response_and_is_never_cut(
    start, mpm: str
) -> None:
    processes = "4" if mpm == "prefork" else "1"
    options = ("--processes", processes, "--threads", "4", "--keep-alive-timeout", "60")
    worker = start("--mpm", mpm, *options)
    socks = [worker.connect() for _ in range(4)]
    for sock in socks:
        assert not told(sock)
    worker.call("POST", "/control/rebalance", {"share": 1})
    for sock in socks:
        assert stays_open(sock, 1.5)
    for sock in socks:
        assert told(sock)
        assert sock.recv(1) == b""
        sock.close()


def test_a_share_out_of_bounds_is_refused(start) -> None:
    worker = start("--threads", "2")
    assert worker.call("POST", "/control/rebalance", {"share": 1.5})[1]["field"] == "share"


def test_a_queue_makes_responses_say_close(start, gate, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "1", "--threads", "1", "--keep-alive-timeout", "60")
    with worker.connect() as first:
        first.sendall(f"GET {gate.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        worker.await_board(lambda board: board["workers"]["busy"] == 1)
        waiting = threading.Thread(target=worker.get)
        waiting.start()
        worker.await_board(lambda board: board["workers"]["queue"] == 1)
        gate.open()
        assert b"connection: close" in first.recv(4096).lower()
        waiting.join(60)
        assert not waiting.is_alive()
    assert worker.await_board(lambda board: board["workers"]["queue"] == 0)
    assert worker.get()[1].get("Connection") != "close"


def test_a_queue_gets_the_slot_of_an_idle_connection_when_its_time_is_over(start) -> None:
    worker = start("--mpm", "worker", "--threads", "1", "--keep-alive-timeout", "30")
    with worker.connect() as idle:
        assert not told(idle)
        waiting = threading.Thread(target=worker.get)
        waiting.start()
        worker.await_board(lambda board: board["workers"]["queue"] == 1)
        assert told(idle), "the request of a client that thinks for less than the timeout was cut"
        waiting.join(60)
        assert not waiting.is_alive()


def test_a_queue_inside_the_loop_closes_nobody(start, gate) -> None:
    worker = start("--mpm", "event", "--threads", "2", "--async-request-worker-factor", "10")
    socks = [worker.connect() for _ in range(6)]
    assert not any(told(sock) for sock in socks)
    for sock in socks:
        sock.sendall(f"GET {gate.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    board = worker.await_board(lambda board: board["workers"]["queue"] == 4)
    assert board["backlog"]["depth"] == 0
    gate.open()
    for sock in socks:
        assert b"connection: close" not in sock.recv(4096).lower()
        sock.close()
