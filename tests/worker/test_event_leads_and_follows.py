"""The event model's own promises: a blocking request stops nobody, idle connections cost no slot."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mpm_worker.mpm.paths import Path, Paths

if TYPE_CHECKING:
    import socket

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def event(start, *arguments: str):
    return start("--mpm", "event", "--processes", "1", *arguments)


def test_a_quick_path_that_suddenly_blocks_stops_nobody(start, gate) -> None:
    worker = event(start, "--threads", "3")
    turn = f"GET {gate.path.replace('/until', '/turn/41', 1)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with worker.connect() as sock:
        for _ in range(40):
            sock.sendall(turn)
            assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        sock.sendall(turn)
        for _ in range(10):
            assert worker.get()[0] == 200
        gate.open()  # ten others were answered while it still blocked
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")


def test_every_slot_can_block_at_once(start, gate) -> None:
    worker = event(start, "--threads", "8")
    threads = [threading.Thread(target=worker.get, args=(gate.path,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    worker.await_board(lambda board: board["workers"]["busy"] == 8)
    gate.open()
    for thread in threads:
        thread.join(60)
    worker.await_board(lambda board: board["workers"]["idle"] == 8)


def test_requests_of_kept_connections_are_queue_while_every_slot_is_busy(start, gate) -> None:
    worker = event(start, "--threads", "2", "--async-request-worker-factor", "10")
    socks = [worker.connect() for _ in range(6)]
    for sock in socks:
        sock.sendall(GET)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
    for sock in socks:
        sock.sendall(f"GET {gate.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    board = worker.await_board(lambda board: board["workers"]["queue"] == 4)
    assert board["workers"]["busy"] == 2
    assert board["backlog"]["depth"] == 0
    gate.open()
    for sock in socks:
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        sock.close()


def test_many_idle_connections_leave_every_slot_free(start) -> None:
    worker = event(start, "--threads", "2", "--keep-alive-timeout", "60")
    socks: list[socket.socket] = []
    for _ in range(300):
        sock = worker.connect()
        sock.sendall(GET)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        socks.append(sock)
    board = worker.await_board(lambda board: board["connections"]["keepAlive"] == 300)
    assert board["workers"] == {"busy": 0, "idle": 2, "total": 2, "queue": 0}
    assert worker.get()[0] == 200
    for sock in socks:
        sock.close()
    worker.await_board(lambda board: board["connections"]["open"] == 0)


def test_an_empty_seat_is_served_by_its_siblings(start) -> None:
    worker = start("--mpm", "event", "--processes", "3", "--threads", "2")
    worker.call("PUT", "/control", {"processes": 1})
    worker.await_board(lambda board: board["servers"] == 1)
    for _ in range(60):
        assert worker.get()[0] == 200
    assert worker.scoreboard()["backlog"]["depth"] == 0


def test_an_application_that_forks_disturbs_nothing(start) -> None:
    worker = event(start, "--threads", "2")
    for _ in range(3):
        assert worker.get("/fork")[0] == 200
    assert worker.get()[0] == 200
    worker.signal(15)
    assert worker.exit_code() == 0


def answered(path: Path, times: int, *, wait: float, work: float, robbed: float = 0) -> None:
    for _ in range(times):
        path.judge(wait + work + robbed, work, robbed)


def test_a_path_waits_when_its_requests_do_and_not_when_they_compute() -> None:
    path = Path()
    assert not path.waits
    answered(path, 20, wait=0, work=5e-3)
    answered(path, 20, wait=0, work=5e-3, robbed=20e-3)
    assert not path.waits
    answered(path, 1, wait=2e-3, work=1e-4)
    assert not path.waits
    answered(path, 1, wait=2e-3, work=1e-4)
    assert path.waits


def test_a_path_marked_in_a_storm_is_tried_again_and_forgiven() -> None:
    path = Path()
    path.mark(5e-3)
    tries = 0
    for _ in range(200):
        if path.due():
            tries += 1
            answered(path, 1, wait=0, work=1e-4)
            break
        path.handed_over(1e-3, 1e-4)
    assert tries == 1
    assert not path.waits


def test_a_path_that_goes_on_waiting_is_tried_ever_more_rarely() -> None:
    path = Path()
    path.mark(5e-3)
    tries = 0
    for _ in range(10_000):
        if path.due():
            tries += 1
            answered(path, 1, wait=2e-3, work=1e-4)
        path.handed_over(2e-3, 1e-4)
    assert path.waits
    assert 2 <= tries <= 4


def test_a_path_that_waits_long_is_never_tried() -> None:
    path = Path()
    path.mark(5e-3)
    for _ in range(10_000):
        path.handed_over(50e-3, 1e-4)
        assert not path.due()


def test_a_path_is_heavy_while_its_requests_compute_for_long() -> None:
    path = Path()
    answered(path, 1, wait=0, work=0.005)
    assert path.heavy
    for _ in range(40):
        path.handed_over(0.0002, 0.0001)
    assert not path.heavy


def test_ids_share_what_is_known_and_a_new_path_takes_after_the_one_above() -> None:
    paths = Paths()
    assert paths.find("GET /orders/17") is paths.find("GET /orders/18")
    assert paths.find("GET /orders/17") is not paths.find("POST /orders/17")
    paths.find("GET /reports/").mark(5e-3)
    assert paths.find("GET /reports/yearly").waits
    assert not paths.find("GET /other").waits


def test_a_flood_of_paths_takes_no_memory_for_ever() -> None:
    paths = Paths()
    for number in range(10_000):
        paths.find("GET /" + "x" * (number % 100) + "/" * (number // 100 + 1))
    assert len(paths) <= 2050


def test_a_short_body_under_way_costs_no_slot(start) -> None:
    worker = event(start, "--threads", "1")
    with worker.connect() as sock:
        sock.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234")
        worker.await_board(lambda board: board["connections"]["reading"] == 1)
        assert worker.get()[0] == 200
        sock.sendall(b"56789")
        assert sock.recv(4096).endswith(b"10\n")


def test_a_body_that_does_not_come_is_waited_for_in_a_slot(start) -> None:
    worker = event(start, "--threads", "2")
    with worker.connect() as sock:
        sock.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234")
        worker.await_board(lambda board: board["workers"]["busy"] == 1)
        sock.sendall(b"56789")
        assert sock.recv(4096).endswith(b"10\n")
