"""Timeouts hold for connections that are open when they change; a timeout of 0 cuts nobody."""

from __future__ import annotations

import os
import signal
import time

import pytest
from stalls import StoodStill, when_steady

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def begin(start, mpm: str, *options: str):
    return start("--mpm", mpm, "--processes", "1", "--threads", "2", *options)


def test_a_shorter_timeout_ends_a_response_that_nobody_reads(start, mpm: str) -> None:
    worker = begin(start, mpm, "--timeout", "60", "--keep-alive-timeout", "60")
    with worker.connect() as sock:
        sock.sendall(GET)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        assert worker.call("PUT", "/control", {"timeoutSeconds": 1})[0] == 200
        sock.sendall(b"GET /size/50000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        worker.await_board(lambda board: board["totals"]["accesses"] == 2)
        assert worker.await_board(lambda board: board["workers"]["busy"] == 0)


def test_a_shorter_keep_alive_timeout_closes_what_idles(start, mpm: str) -> None:
    worker = begin(start, mpm, "--keep-alive-timeout", "60")
    with worker.connect() as sock:
        sock.sendall(GET)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        assert worker.call("PUT", "/control", {"keepAliveTimeoutSeconds": 0.5})[0] == 200
        assert sock.recv(1) == b""


def test_no_keep_alive_time_is_said_in_the_response(start, mpm: str) -> None:
    worker = begin(start, mpm, "--keep-alive-timeout", "0")
    assert worker.get()[1]["Connection"] == "close"


@when_steady
def test_a_draining_pod_without_keep_alive_time_awaits_the_first_request(start, mpm: str) -> None:
    worker = begin(start, mpm, "--keep-alive-timeout", "0", "--drain-delay", "30")
    worker.signal(signal.SIGTERM)
    worker.await_board(lambda board: board["state"] == "Stopping")
    connecting = time.monotonic()
    with worker.connect() as sock:
        time.sleep(0.4)
        sock.sendall(GET)
        if time.monotonic() - connecting > 0.9:  # it is awaited for a second
            raise StoodStill
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
    worker.signal(signal.SIGINT)
    assert worker.exit_code() == 0


@pytest.mark.parametrize("mpm", ["worker", "event"])
def test_a_request_that_arrives_at_the_last_moment_is_served(start, mpm: str) -> None:
    worker = begin(
        start, mpm, "--timeout", "3", "--keep-alive-timeout", "3", "--processes", "1", "--threads", "3"
    )
    child = worker.scoreboard()["processes"][0]["pid"]
    with worker.connect() as whole, worker.connect() as rest, worker.connect() as kept:
        kept.sendall(GET)
        assert kept.recv(4096).startswith(b"HTTP/1.1 200")
        rest.sendall(GET[:10])
        worker.await_board(lambda board: board["connections"]["reading"] == 2)
        os.kill(child, signal.SIGSTOP)
        try:
            time.sleep(3.5)
            whole.sendall(GET)
            rest.sendall(GET[10:])
            kept.sendall(GET)
        finally:
            os.kill(child, signal.SIGCONT)
        assert whole.recv(4096).startswith(b"HTTP/1.1 200")
        assert rest.recv(4096).startswith(b"HTTP/1.1 200")
        assert kept.recv(4096).startswith(b"HTTP/1.1 200")
