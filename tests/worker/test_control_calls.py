"""Control: signed or refused, in bounds or nothing changed, and live without a restart."""

from __future__ import annotations

import pytest

from mpm_worker.control import sign


def pids(board) -> set[int]:
    return {process["pid"] for process in board["processes"]}


WRONG = [
    ({"key": b"x" * 32}, "fits no control key"),
    ({"pod_uid": "another pod"}, "fits no control key"),
    ({"boot": "0" * 16}, "fits no control key"),
    ({"method": "POST"}, "fits no control key"),
    ({"path": "/control/resume"}, "fits no control key"),
    ({"body": b"{}"}, "fits no control key"),
    ({"sequence": 0}, "must be greater than 0"),
]


def test_what_is_not_signed_for_this_call_is_refused(start) -> None:
    worker = start("--threads", "2")
    for count, (wrong, reason) in enumerate(WRONG, 1):
        status, answer = worker.call("PUT", "/control", {"threadsPerChild": 1}, **wrong)
        assert status == 401
        assert reason in answer["error"]
        board = worker.scoreboard()
        assert board["totals"]["unauthorized"] == count
        assert board["threadsPerChild"] == 2
        assert board["sequence"] == 0


def test_a_call_cannot_be_repeated(start) -> None:
    worker = start("--threads", "2")
    board = worker.scoreboard()
    body = b'{"ttlSeconds": 5}'
    key = bytes(range(32))
    signature = sign(key, "pod-1", board["boot"], 7, "POST", "/control/quiesce", body)
    headers = {"X-MPM-Sequence": "7", "X-MPM-Signature": signature}
    codes = [worker.admin("/control/quiesce", method="POST", body=body, headers=headers)[0] for _ in range(2)]
    assert codes == [200, 401]
    assert worker.scoreboard()["sequence"] == 7


def test_a_call_without_a_signature_is_refused(start) -> None:
    worker = start("--threads", "2")
    unsigned = ({}, {"X-MPM-Signature": "v1="}, {"X-MPM-Sequence": "1", "X-MPM-Signature": "v1=\xe9"})
    for headers in unsigned:
        assert worker.admin("/control/quiesce", method="POST", body=b"{}", headers=headers)[0] == 401


def test_without_keys_every_call_is_refused(start, keys) -> None:
    (keys / "current").unlink()
    worker = start("--threads", "2")
    status, answer = worker.call("POST", "/control/resume")
    assert status == 401
    assert "no control key" in answer["error"]


def test_both_versions_of_the_key_are_accepted_and_read_again_when_they_change(start, keys) -> None:
    worker = start("--threads", "2")
    new = b"n" * 32
    (keys / "previous").write_text((keys / "current").read_text())
    (keys / "current").write_text(f"2:{new.hex()}")
    assert worker.call("POST", "/control/resume")[1]["keyVersion"] == 1
    assert worker.call("POST", "/control/resume", key=new)[1]["keyVersion"] == 2
    (keys / "previous").unlink()
    assert worker.call("POST", "/control/resume")[0] == 401


BAD_CHANGES = [
    ({"threadsPerChild": 0}, "threadsPerChild"),
    ({"threadsPerChild": 9}, "threadsPerChild"),
    ({"threadsPerChild": 2.5}, "threadsPerChild"),
    ({"threadsPerChild": True}, "threadsPerChild"),
    ({"threadsCeiling": 9}, "threadsCeiling"),
    ({"processes": 0}, "processes"),
    ({"keepAlive": 1}, "keepAlive"),
    ({"timeoutSeconds": 0}, "timeoutSeconds"),
    ({"timeoutSeconds": "60"}, "timeoutSeconds"),
    ({"threads": 3}, "threads"),
    ({"processes": 10**400}, "processes"),
    ({"timeoutSeconds": 10**400}, "timeoutSeconds"),
    ({"timeoutSeconds": float("inf")}, "timeoutSeconds"),
    ({"timeoutSeconds": float("nan")}, "timeoutSeconds"),
]


def test_a_change_out_of_bounds_names_the_field_and_changes_nothing(start) -> None:
    worker = start("--threads", "2", "--thread-limit", "8")
    before = worker.scoreboard()
    for change, field in BAD_CHANGES:
        status, answer = worker.call("PUT", "/control", {"keepAliveTimeoutSeconds": 9, **change})
        assert status == 400
        assert answer["field"] == field
        assert answer["error"]
        assert worker.scoreboard()["settings"] == before["settings"]


@pytest.mark.parametrize("mpm", ["worker", "event"])
def test_threads_come_and_go_in_the_same_process(start, mpm: str) -> None:
    worker = start("--mpm", mpm, "--threads", "2", "--processes", "2")
    before = pids(worker.scoreboard())
    for threads in (8, 3, 1, 5):
        status, answer = worker.call("PUT", "/control", {"threadsPerChild": threads})
        assert status == 200
        assert answer["settings"]["threadsPerChild"] == threads
        board = worker.await_board(lambda board, n=threads: board["workers"]["idle"] == 2 * n)
        assert board["threadsPerChild"] == threads
    assert pids(worker.scoreboard()) == before


def test_processes_come_and_go(start, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "2", "--threads", "2")
    slots = 1 if mpm == "prefork" else 2
    first = pids(worker.scoreboard())
    worker.call("PUT", "/control", {"processes": 4})
    board = worker.await_board(lambda board: board["workers"]["idle"] == 4 * slots)
    assert first < pids(board)
    worker.call("PUT", "/control", {"processes": 1})
    board = worker.await_board(lambda board: board["servers"] == 1)
    assert board["workers"]["idle"] == slots
    assert pids(board) < first
    for _ in range(30):
        assert worker.get()[0] == 200


def test_settings_hold_for_the_next_response(start, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "1", "--threads", "2")
    assert worker.get()[1].get("Connection") != "close"
    worker.call("PUT", "/control", {"keepAlive": False, "limitRequestBodyBytes": 10})
    assert worker.get()[1].get("Connection") == "close"
    assert worker.get("/read", method="POST", body=b"x" * 11)[0] == 413
    worker.call("PUT", "/control", {"keepAlive": True, "maxKeepAliveRequests": 2})
    with worker.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"connection: close" not in sock.recv(4096).lower()
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"connection: close" in sock.recv(4096).lower()
        assert sock.recv(1) == b""
