"""Slow and broken clients: each ends in its time, and costs others nothing."""

from __future__ import annotations

import socket
import struct
import time

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def shape(mpm: str) -> tuple[str, ...]:
    return ("--mpm", mpm, "--processes", "4" if mpm == "prefork" else "1", "--threads", "4")


def test_a_head_that_does_not_come_gets_408(start, mpm: str) -> None:
    worker = start(*shape(mpm), "--timeout", "1")
    with worker.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost:")
        time.sleep(0.5)
        sock.sendall(b" x")
        answer = sock.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"connection: close" in answer.lower()


def test_a_connection_without_a_request_is_closed_in_silence(start, mpm: str) -> None:
    worker = start(*shape(mpm), "--timeout", "1", "--keep-alive-timeout", "1")
    with worker.connect() as silent, worker.connect() as kept:
        kept.sendall(GET)
        assert kept.recv(4096).startswith(b"HTTP/1.1 200")
        assert silent.recv(4096) == b""
        assert kept.recv(4096) == b""


def test_requests_in_pieces_and_in_a_row(shared, mpm: str) -> None:
    worker = shared(*shape(mpm))
    before = worker.scoreboard()["totals"]["accesses"]
    with worker.connect() as sock:
        for byte in GET:
            sock.sendall(bytes([byte]))
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        sock.sendall(GET * 5)
        data = b""
        while data.count(b"hello\n") < 5:
            data += sock.recv(65536)
        assert data.count(b"HTTP/1.1 200") == 5
    worker.await_board(lambda board: board["totals"]["accesses"] == before + 6)


def test_a_large_body_arrives_whole(shared, mpm: str) -> None:
    worker = shared(*shape(mpm))
    assert worker.get("/read", method="POST", body=b"x" * 3_000_000)[2] == b"3000000\n"
    assert len(worker.get("/size/5000000")[2]) == 5_000_000


def test_a_refused_request_can_be_read_although_the_client_still_sends(shared, mpm: str) -> None:
    worker = shared(*shape(mpm))
    with worker.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nno colon here\r\n\r\n" + b"x" * 200_000)
        answer = sock.recv(65536)
        assert answer.startswith(b"HTTP/1.1 400")
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass


def test_clients_that_reset_leave_nothing_behind(shared, mpm: str) -> None:
    worker = shared(*shape(mpm))
    for end in range(0, len(GET), 4):
        sock = worker.connect()
        sock.sendall(GET[:end])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    free = {"busy": 0, "idle": 4, "total": 4, "queue": 0}
    worker.await_board(lambda board: board["connections"]["open"] == 0 and board["workers"] == free)
    assert worker.get()[0] == 200


def test_a_half_closed_client_still_gets_its_answer(shared, mpm: str) -> None:
    worker = shared(*shape(mpm))
    with worker.connect() as sock:
        sock.sendall(GET)
        sock.shutdown(socket.SHUT_WR)
        data = b""
        while piece := sock.recv(4096):
            data += piece
        assert data.endswith(b"hello\n")


def test_connections_beyond_the_backlog_are_counted(start) -> None:
    worker = start("--mpm", "worker", "--processes", "1", "--threads", "1", "--listen-backlog", "2")
    socks = []
    for _ in range(8):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", worker.port))
        socks.append(sock)
    socks[0].setblocking(True)
    board = worker.await_board(lambda board: board["backlog"]["overflows"] > 0)
    assert board["backlog"]["limit"] == 2
    assert board["workers"]["queue"] == board["backlog"]["depth"] >= 2
    for sock in socks:
        sock.close()
