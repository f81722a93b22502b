"""Probes and scoreboard answer whatever the slots and the other clients of the admin port do."""

from __future__ import annotations

import socket
import threading
import time


def test_probes_answer_while_every_slot_is_busy(start, gate, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "1", "--threads", "1")
    threads = [threading.Thread(target=worker.get, args=(gate.path,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    worker.await_board(lambda board: board["workers"]["queue"] == 2)
    for path in ("/healthz", "/readyz", "/startupz", "/metrics", "/server-status", "/server-status?auto"):
        assert worker.admin(path)[0] == 200
    assert worker.scoreboard()["workers"]["busy"] == 1
    gate.open()
    for thread in threads:
        thread.join(60)


def test_clients_that_send_nothing_or_never_read_hold_nobody_up(shared) -> None:
    worker = shared("--threads", "2")
    silent = [socket.create_connection(("127.0.0.1", worker.admin_port)) for _ in range(300)]
    deaf = worker.watch()
    for sock in silent[:100]:
        try:
            sock.sendall(b"GET /server-status HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        except OSError:
            pass  # it was the longest waiting
    for _ in range(10):
        assert worker.admin("/healthz")[0] == 200
    for sock in silent:
        sock.close()
    deaf.close()


def test_nonsense_is_refused_and_the_port_lives(shared) -> None:
    worker = shared("--threads", "2")
    for junk in (
        b"\0" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"x" * 20000,
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: " + b"y" * 70000,
    ):
        with socket.create_connection(("127.0.0.1", worker.admin_port), timeout=60) as sock:
            try:
                sock.sendall(junk)
                sock.shutdown(socket.SHUT_WR)
                answer = sock.recv(65536)
            except OSError:
                answer = b""
            assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505"))
    assert worker.admin("/healthz")[0] == 200
    assert worker.admin("/nowhere")[0] == 404
    assert worker.admin("/healthz", method="POST", body=b"")[0] == 405
    assert worker.admin("/healthz", method="HEAD")[2] == b""


def test_a_request_that_comes_in_pieces_and_another_behind_it(shared) -> None:
    worker = shared("--threads", "2")
    with socket.create_connection(("127.0.0.1", worker.admin_port), timeout=60) as sock:
        for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n":
            sock.sendall(bytes([byte]))
        assert sock.recv(4096).endswith(b"ok\n")
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        answers = b""
        while answers.count(b"ok\n") < 2:
            answers += sock.recv(4096)
        assert answers.count(b"200 OK") == 2


def test_supervisor_has_one_thread(start, hammer) -> None:
    worker = start("--threads", "4", "--processes", "2")
    clients = hammer(worker.port, 4)
    time.sleep(0.3)
    clients.stop()
    with open(f"/proc/{worker.process.pid}/status") as file:
        assert "Threads:\t1\n" in file.read()
