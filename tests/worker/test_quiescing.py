"""Quiesce, resume, the time to live and `Drained`: a pod on its way out loses nobody and may come back."""

from __future__ import annotations

import time

import pytest
from stalls import StoodStill, when_steady

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def begin(start, mpm: str):
    return start("--mpm", mpm, "--processes", "2", "--threads", "2", "--keep-alive-timeout", "30")


def test_a_quiescing_pod_leaves_readiness_and_serves_what_arrives(shared, mpm: str) -> None:
    worker = begin(shared, mpm)
    assert worker.admin("/readyz")[0] == 200
    status, answer = worker.call("POST", "/control/quiesce", {"ttlSeconds": 60})
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
        worker.call("POST", "/control/quiesce", {"ttlSeconds": 60})
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
    worker.call("POST", "/control/quiesce", {"ttlSeconds": 60})
    watch.await_edge("Quiesced")
    assert worker.scoreboard()["state"] == "Quiescing"
    sock.close()
    line = watch.await_edge("Drained")
    watch.close()
    assert line["connections"]["open"] == line["workers"]["busy"] == line["backlog"]["depth"] == 0
    assert worker.scoreboard()["state"] == "Drained"
    assert worker.get()[0] == 200
    worker.call("POST", "/control/resume")


@when_steady
def test_it_lapses_unless_renewed(shared) -> None:
    worker = begin(shared, "event")
    for _ in range(2):
        called = time.monotonic()
        worker.call("POST", "/control/quiesce", {"ttlSeconds": 3})
        time.sleep(1.6)
    ready = worker.admin("/readyz")[0]
    worker.await_board(lambda board: board["state"] == "Serving")
    if ready == 200 and time.monotonic() - called > 4:
        raise StoodStill
    assert ready == 503
    assert worker.admin("/readyz")[0] == 200


def test_a_quiesce_without_a_time_is_refused(shared) -> None:
    worker = begin(shared, "event")
    for body in ({}, {"ttlSeconds": 0}, {"ttlSeconds": -1}, {"ttlSeconds": "9"}):
        status, answer = worker.call("POST", "/control/quiesce", body)
        assert status == 400
        assert answer["field"] == "ttlSeconds"
        assert worker.scoreboard()["state"] == "Serving"


PATIENT = {"ttlSeconds": 60, "idleWithinSeconds": 60}


def asked(worker, path: str):
    """A connection with a request that the worker is at."""
    sock = worker.connect()
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    worker.await_board(lambda board: board["workers"]["busy"] > 0)
    return sock


def test_it_can_wait_for_a_moment_without_requests(shared, gate, mpm: str) -> None:
    worker = begin(shared, mpm)
    watch = worker.watch()
    with asked(worker, gate.path) as sock:
        status, answer = worker.call("POST", "/control/quiesce", PATIENT)
        assert (status, answer["state"]) == (200, "Serving")
        assert worker.admin("/readyz")[0] == 200
        gate.open()
        line = watch.await_edge("Quiesced")
        # In the models of threads a connection that was answered holds its slot to its end.
        assert line["workers"]["busy"] <= line["connections"]["closing"]
        assert line["totals"]["accesses"] > answer["totals"]["accesses"]
        while sock.recv(4096):
            pass
    watch.close()
    worker.call("POST", "/control/resume")
    worker.await_ready()
    assert worker.call("POST", "/control/quiesce", PATIENT)[1]["state"] in ("Quiescing", "Drained")
    worker.call("POST", "/control/resume")


@pytest.mark.parametrize("said", [GET, b""], ids=["kept", "silent"])
def test_a_connection_without_a_request_is_not_waited_for(shared, mpm: str, said: bytes) -> None:
    worker = begin(shared, mpm)
    with worker.connect() as sock:
        if said:
            sock.sendall(said)
            assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        worker.await_board(lambda board: board["connections"]["open"] == 1)
        worker.call("POST", "/control/quiesce", PATIENT)
        worker.await_board(lambda board: board["state"] == "Quiescing")
    worker.call("POST", "/control/resume")
    worker.await_ready()


@pytest.mark.parametrize("end", ["no such moment came in time", "it was taken back"])
def test_a_quiesce_that_waits_is_void_when(shared, gate, end: str) -> None:
    worker = begin(shared, "event")
    with asked(worker, gate.path) as sock:
        within = 0.1 if end.startswith("no") else 60
        worker.call("POST", "/control/quiesce", PATIENT | {"idleWithinSeconds": within})
        if within == 60:
            worker.call("POST", "/control/resume")
        time.sleep(0.3)
        gate.open()
        while sock.recv(4096):
            pass
    worker.await_ready()
    time.sleep(0.2)
    assert worker.scoreboard()["state"] == "Serving"


def test_an_operator_that_waits_wakes_nobody_by_asking_again(shared, gate) -> None:
    """A line `Control` would make it plan and ask at once, without end."""
    worker = begin(shared, "event")
    watch = worker.watch()
    with asked(worker, gate.path):
        worker.call("POST", "/control/quiesce", PATIENT)
        worker.call("POST", "/control/quiesce", PATIENT)
        gate.open()
        edges = []
        while "Quiesced" not in edges:
            edges.append(watch.line()["edge"])
    watch.close()
    worker.call("POST", "/control/resume")
    assert "Control" not in edges


def test_the_time_to_wait_is_checked(shared) -> None:
    worker = begin(shared, "event")
    status, answer = worker.call("POST", "/control/quiesce", PATIENT | {"idleWithinSeconds": -1})
    assert (status, answer["field"]) == (400, "idleWithinSeconds")
