"""Quiesce, resume, the time to live and `Drained`: a pod on its way out loses nobody and may come back."""

from __future__ import annotations

import time

import pytest

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def begin(start, mpm: str):
    return start("--mpm", mpm, "--processes", "2", "--threads", "2", "--keep-alive-timeout", "30")


def test_a_quiescing_pod_leaves_readiness_and_serves_what_arrives(shared, mpm: str) -> None:
    worker = begin(shared, mpm)
    assert worker.admin("/readyz")[0] == 200
    status, answer = worker.call("POST", "/control/quiesce", {"ttlSeconds": 30})
    assert status == 200
    assert answer["state"] == "Quiescing"
    assert answer["workers"]["idle"] == 0
    assert worker.admin("/readyz")[0] == 503
    assert worker.admin("/healthz")[0] == 200
    for _ in range(5):
        code, headers, _ = worker.get()
        assert code == 200
        assert headers["Connection"] == "close"
    worker.call("POST", "/control/resume")
    assert worker.admin("/readyz")[0] == 200
    board = worker.await_board(lambda board: board["state"] == "Serving")
    assert board["workers"]["idle"] > 0
    assert worker.get()[1].get("Connection") != "close"


def test_an_idle_connection_is_not_closed_but_told_at_its_next_response(shared, mpm: str) -> None:
    worker = begin(shared, mpm)
    with worker.connect() as sock:
        sock.sendall(GET)
        assert b"connection: close" not in sock.recv(4096).lower()
        worker.call("POST", "/control/quiesce", {"ttlSeconds": 30})
        sock.settimeout(1.5)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.sendall(GET)
        assert b"connection: close" in sock.recv(4096).lower()
        assert sock.recv(1) == b""
    worker.call("POST", "/control/resume")


def test_drained_is_told_when_the_last_connection_has_gone(shared, mpm: str) -> None:
    worker = begin(shared, mpm)
    watch = worker.watch()
    sock = worker.connect()
    sock.sendall(GET)
    sock.recv(4096)
    worker.call("POST", "/control/quiesce", {"ttlSeconds": 30})
    watch.await_edge("Quiesced")
    assert worker.scoreboard()["state"] == "Quiescing"
    sock.close()
    line = watch.await_edge("Drained")
    watch.close()
    assert line["connections"]["open"] == line["workers"]["busy"] == line["backlog"]["depth"] == 0
    assert worker.scoreboard()["state"] == "Drained"
    assert worker.get()[0] == 200
    worker.call("POST", "/control/resume")


def test_it_lapses_unless_renewed(shared) -> None:
    worker = begin(shared, "event")
    for _ in range(2):
        worker.call("POST", "/control/quiesce", {"ttlSeconds": 3})
        time.sleep(1.6)
    assert worker.admin("/readyz")[0] == 503
    worker.await_board(lambda board: board["state"] == "Serving", seconds=8)
    assert worker.admin("/readyz")[0] == 200


def test_a_quiesce_without_a_time_is_refused(shared) -> None:
    worker = begin(shared, "event")
    for body in ({}, {"ttlSeconds": 0}, {"ttlSeconds": -1}, {"ttlSeconds": "9"}):
        status, answer = worker.call("POST", "/control/quiesce", body)
        assert status == 400
        assert answer["field"] == "ttlSeconds"
        assert worker.scoreboard()["state"] == "Serving"
