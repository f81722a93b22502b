"""Who waits longest is served first, though the kernel deals connections out to the queues by chance."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

import pytest
from worker_process import fetch

from mpm_worker.listeners import longest
from mpm_worker.pressure import PATIENCE

SLOTS, WAITING = 8, 200


def listener(stack: ExitStack) -> socket.socket:
    sock = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=16))
    sock.setblocking(False)
    return sock


def test_the_longest_of_several_queues_is_accepted_from() -> None:
    with ExitStack() as stack:
        queues = [listener(stack) for _ in range(3)]
        for count, queue in zip((2, 4, 3), queues, strict=True):
            for _ in range(count):
                stack.enter_context(socket.create_connection(queue.getsockname()))
        taken = []
        for _ in range(9):
            queue = longest(queues)
            taken.append(queues.index(queue))
            queue.accept()[0].close()
    assert taken[0] == 1
    assert taken[1:3] in ([1, 2], [2, 1])
    assert sorted(taken[3:]) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("flooded", [0, 1], ids=["the first address is flooded", "the second one is"])
def test_an_address_is_served_while_another_has_the_longer_queue(start, hammer, mpm: str, flooded) -> None:
    worker = start(
        *("--mpm", mpm, "--processes", "1", "--threads", "1"),
        *("--bind", "127.0.0.1:0", "--bind", "127.0.0.1:0"),
    )
    said = worker.await_line(r"listening on http://127.0.0.1:(\d+), http://127.0.0.1:(\d+)")
    ports = int(said[1]), int(said[2])
    clients = 24
    flood = hammer(ports[flooded], clients, "/sleep/0.01", keep_alive=False)
    worker.await_board(lambda board: board["backlog"]["depth"] >= clients // 2)
    for _ in range(5):
        before = flood.served
        assert fetch(ports[1 - flooded], "/")[0] == 200
        assert flood.served - before < 10 * clients
    flood.stop()
    assert flood.failures == []


def test_while_there_is_a_queue_no_connection_is_kept_that_would_go_before_it(start, gate) -> None:
    worker = start("--mpm", "event", "--processes", "1", "--threads", str(SLOTS), "--listen-backlog", "256")
    with ExitStack() as stack:
        first = [stack.enter_context(worker.connect()) for _ in range(SLOTS)]
        for sock in first:
            sock.sendall(f"GET {gate.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        worker.await_board(lambda board: board["workers"]["idle"] == 0)
        others = [stack.enter_context(worker.connect()) for _ in range(WAITING)]
        for sock in others:
            sock.sendall(b"GET /sleep/0.01 HTTP/1.1\r\nHost: x\r\n\r\n")
        worker.await_board(lambda board: board["workers"]["queue"] == WAITING)
        time.sleep(2 * PATIENCE)
        worker.await_board(lambda board: board["workers"]["queue"] == WAITING)  # seen to last
        gate.open()
        kept = [sock for sock in (*first, *others) if b"connection: close" not in sock.recv(4096).lower()]
    # The last ones have nobody behind them.
    assert len(kept) <= 3 * SLOTS
