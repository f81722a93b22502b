"""Keep-alive connections give way: to a queue, and to new pods when the operator rebalances."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from mpm_worker.listeners import Backlog
from mpm_worker.observe import Load
from mpm_worker.pressure import PATIENCE, Pressure

if TYPE_CHECKING:
    import socket

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def told(sock: socket.socket) -> bool:
    sock.sendall(GET)
    return b"connection: close" in sock.recv(4096).lower()


def await_pressure(worker) -> None:
    """Until one waits and has been seen waiting for so long that connections are let go."""
    worker.await_board(lambda board: board["workers"]["queue"] == 1)
    time.sleep(2 * PATIENCE)
    worker.await_board(lambda board: board["workers"]["queue"] == 1)


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
        await_pressure(worker)
        gate.open()
        assert b"connection: close" in first.recv(4096).lower()
        waiting.join(60)
        assert not waiting.is_alive()
    assert worker.await_board(lambda board: board["workers"]["queue"] == 0)
    assert worker.get()[1].get("Connection") != "close"


FULL = Load(busy=1, idle=0, queue=1, backlog=Backlog(1), connections=2, keep_alive=0, reading=0, closing=0)
CALM = replace(FULL, queue=0, backlog=Backlog())


def test_a_client_that_comes_anew_before_its_slot_is_idle_costs_no_connection() -> None:
    pressure = Pressure()
    looks = [(0.0, FULL), (0.01, CALM), (0.06, FULL), (0.07, CALM), (5.0, FULL)]
    assert not any(pressure.look(load, now) for now, load in looks)


def test_a_queue_that_lasts_is_pressure_until_idle_slots_can_take_all_of_it() -> None:
    pressure = Pressure()
    assert not pressure.look(FULL, 1.0)
    assert pressure.seen
    two = replace(FULL, backlog=Backlog(2))
    between = replace(two, idle=1, busy=0)
    assert [
        pressure.look(load, 1.0 + PATIENCE + 0.01 * n) for n, load in enumerate([two, between, FULL])
    ] == [True] * 3
    assert not pressure.look(replace(FULL, idle=1, busy=0), 1.2)
    assert not pressure.seen


def test_a_queue_gets_the_slot_of_an_idle_connection_when_its_time_is_over(start) -> None:
    worker = start("--mpm", "worker", "--threads", "1", "--keep-alive-timeout", "30")
    with worker.connect() as idle:
        assert not told(idle)
        waiting = threading.Thread(target=worker.get)
        waiting.start()
        await_pressure(worker)
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
