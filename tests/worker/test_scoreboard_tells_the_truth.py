"""The scoreboard under load: letters, counters, queue, text; nothing goes back when a process dies."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time

from mpm_worker.letters import ORDER, code

SHAPE = {
    "prefork": ("--mpm", "prefork", "--processes", "4"),
    "worker": ("--mpm", "worker", "--processes", "2", "--threads", "2"),
    # One process: a connection stays with the one that accepted it, also when another has a free slot.
    "event": ("--mpm", "event", "--processes", "1", "--threads", "4"),
}


def ask(worker, path: str, count: int) -> list[threading.Thread]:
    threads = [threading.Thread(target=worker.get, args=(path,)) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def letters(board) -> str:
    return "".join(process["letters"] for process in board["processes"])


def kept(board) -> tuple[int, int]:
    return board["connections"]["open"], board["connections"]["keepAlive"]


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_busy_idle_and_queue_add_up(start, gate, mpm: str) -> None:
    worker = start(*SHAPE[mpm])
    began = time.monotonic()
    threads = ask(worker, gate.path, 3)
    busy = {"busy": 3, "idle": 1, "total": 4, "queue": 0}
    worker.await_board(lambda board: board["workers"] == busy and letters(board).count("W") == 3)
    threads += ask(worker, gate.path, 4)
    full = {"busy": 4, "idle": 0, "total": 4, "queue": 3}
    worker.await_board(lambda board: board["workers"] == full)
    time.sleep(1)
    gate.open()
    join(threads)
    free = {"busy": 0, "idle": 4, "total": 4, "queue": 0}
    board = worker.await_board(lambda board: board["workers"] == free)
    assert board["totals"]["accesses"] == 7
    assert board["totals"]["bytes"] == 7 * len(b"hello\n")
    assert board["totals"]["connections"] == 7
    assert 4_000 <= board["totals"]["busyMs"] <= 4_000 * (time.monotonic() - began)


def test_totals_survive_the_death_of_a_process(start, mpm: str) -> None:
    worker = start(*SHAPE[mpm])
    for _ in range(10):
        worker.get()
    before = worker.scoreboard()
    for process in before["processes"]:
        os.kill(process["pid"], signal.SIGKILL)
    old = {process["pid"] for process in before["processes"]}
    after = worker.await_board(
        lambda board: board["workers"]["idle"] == 4 and not old & {p["pid"] for p in board["processes"]}
    )
    for name, value in before["totals"].items():
        assert after["totals"][name] >= value
    assert after["boot"] == before["boot"]
    assert worker.get()[0] == 200


def test_the_request_is_shown_without_query_and_client(start, gate) -> None:
    worker = start("--mpm", "worker", "--threads", "2")
    threads = ask(worker, f"{gate.path}?secret=1", 1)
    worker.await_board(lambda board: board["workers"]["busy"] == 1)
    page = worker.admin("/server-status")[2].decode()
    assert f"GET {gate.path}"[:40] in page
    assert "secret" not in page
    assert "127.0.0.1</td>" not in page
    gate.open()
    join(threads)


def test_extended_status_shows_the_whole_line_and_the_client(start, gate) -> None:
    worker = start("--mpm", "event", "--threads", "2", "--extended-status", "on")
    threads = ask(worker, f"{gate.path}?secret=1", 1)
    worker.await_board(lambda board: board["workers"]["busy"] == 1)
    page = worker.admin("/server-status")[2].decode()
    assert f"GET {gate.path}?secret=1 HTTP/1.1" in page
    assert "<td>127.0.0.1</td>" in page
    gate.open()
    join(threads)


def test_keep_alive_costs_a_slot_in_worker_and_none_in_event(start) -> None:
    for mpm, idle in (("worker", 1), ("event", 2)):
        worker = start("--mpm", mpm, "--threads", "2", "--keep-alive-timeout", "60")
        with worker.connect() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 200")
            board = worker.await_board(
                lambda board: board["connections"] == {"open": 1, "keepAlive": 1, "reading": 0, "closing": 0}
            )
            assert board["workers"]["idle"] == idle
        worker.await_board(lambda board: not any(board["connections"].values()))


def test_a_hostile_request_cannot_write_into_the_page(start) -> None:
    worker = start("--mpm", "worker", "--threads", "2", "--extended-status", "on")
    with worker.connect() as sock:
        sock.sendall(b"GET /<script>alert(1)</script> HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.recv(4096)
        page = worker.admin("/server-status")[2]
    assert b"<script>" not in page
    assert b"&lt;script&gt;" in page


def test_a_line_of_the_stream_never_has_two_kibibytes(start) -> None:
    """However long it runs and whatever it is told: with the longest number in every place."""
    worker = start("--mpm", "prefork", "--processes", "1")
    watch = worker.watch()
    line = watch.line()
    watch.close()
    longest = line | {"pod": "0" * 36, "state": "Quiescing", "edge": "Saturated"}
    longest["letters"] = code(ORDER * 9_999)
    text = re.sub(r"(?<=:)\d[\d.]*", "9" * 19, json.dumps(longest, separators=(",", ":")))
    assert 1024 < len(text) < 2048
