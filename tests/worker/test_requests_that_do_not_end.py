"""`--request-timeout`: the stack is logged, the process replaced, and only the stuck request is cut."""

from __future__ import annotations

import http.client
import threading

import pytest


def begin(start, mpm: str, *options: str, seconds: int = 1):
    return start(
        *("--mpm", mpm, "--processes", "1", "--threads", "4", "--keep-alive-timeout", "20"),
        *("--request-timeout", str(seconds), *options),
        app="trouble:app",
    )


def cut_off(worker, path: str) -> threading.Thread:
    """A request that gets no response."""

    def ask() -> None:
        with pytest.raises((OSError, http.client.HTTPException)):
            worker.get(path)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def test_its_stack_is_logged_and_its_process_is_replaced(start, hammer, mpm: str) -> None:
    worker = begin(start, mpm, *(("--processes", "2") if mpm == "prefork" else ()), seconds=3)
    stuck = cut_off(worker, "/hang")
    clients = hammer(worker.port, 2, "/sleep/0.01")
    worker.await_line(r"GET /hang in slot \d+-\d+ runs for more than 3 s; server \d+ is replaced")
    worker.await_line(r"\[(\S+)\] GET /hang in slot \d+-\d+ has run for [\d.]+ s and is here")
    worker.await_line(r"trouble.py\", line \d+, in wait_for_what_never_comes")
    pid = worker.await_line(r"server (\d+) is ended with 1 requests that do not end")[1]
    stuck.join(60)
    clients.stop()
    assert clients.failures == []
    board = worker.await_board(lambda board: board["servers"] == (2 if mpm == "prefork" else 1))
    assert int(pid) not in {process["pid"] for process in board["processes"]}
    assert 'mpm_servers_ended_total{reason="stuck"} 1' in worker.admin("/metrics")[2].decode()


def test_others_in_that_process_finish(start) -> None:
    worker = begin(start, "worker", seconds=4)
    stuck = cut_off(worker, "/hang")
    worker.await_line("GET /hang in slot")
    answers: list[int] = []
    # Not overdue itself: it begins just before the process is replaced, and ends after.
    others = [threading.Thread(target=lambda: answers.append(worker.get("/sleep/1.5")[0])) for _ in range(2)]
    for thread in others:
        thread.start()
    for thread in (*others, stuck):
        thread.join(60)
    assert answers == [200, 200]


def test_who_waits_behind_stuck_requests_is_answered_by_the_next_process(start) -> None:
    worker = begin(start, "event", "--threads", "1", "--keep-alive-timeout", "30")
    with worker.connect() as sock:  # kept by the process that will be stuck
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        stuck = cut_off(worker, "/hang")
        worker.await_line("GET /hang in slot")
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.settimeout(60)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
    stuck.join(60)


def test_an_upload_beside_a_stuck_request_is_not_cut(start) -> None:
    worker = begin(start, "event")
    stuck = cut_off(worker, "/hang")
    with worker.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(60):
            sock.sendall(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
            threading.Event().wait(0.1)
        sock.sendall(b"0\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
    stuck.join(60)


def test_a_slow_client_is_no_stuck_request(start, mpm: str) -> None:
    """Waiting for a request, or on a kept connection, is the business of other timeouts."""
    worker = begin(start, mpm, "--keep-alive-timeout", "30")
    before = worker.scoreboard()["processes"][0]["pid"]
    with worker.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        threading.Event().wait(2.5)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
    assert worker.scoreboard()["processes"][0]["pid"] == before


def test_a_stop_does_not_wait_for_it_until_the_deadline(start, mpm: str) -> None:
    worker = begin(start, mpm, "--graceful-timeout", "60")
    stuck = cut_off(worker, "/hang")
    worker.await_board(lambda board: board["workers"]["busy"] == 1)
    worker.process.terminate()
    assert worker.exit_code() == 0
    stuck.join(60)
