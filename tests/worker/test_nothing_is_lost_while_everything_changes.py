"""Threads, processes, generations, quiesces and rebalances at random, under load: no request may notice."""

from __future__ import annotations

import random
import signal
import time


def test_no_request_fails_and_no_client_stalls(start, hammer, mpm: str) -> None:
    worker = start(
        *("--mpm", mpm, "--processes", "2", "--threads", "4", "--thread-limit", "16"),
        *("--keep-alive-timeout", "20", "--graceful-timeout", "20"),
    )
    clients = [
        hammer(worker.port, 3, "/"),
        hammer(worker.port, 4, "/sleep/0.01"),
        hammer(worker.port, 2, "/sleep/0.002", keep_alive=False),
        hammer(worker.port, 1, "/spin/0.005"),
    ]
    failed = lambda: [one.failures for one in clients if one.failures]  # noqa: E731
    chance = random.Random(7)
    calls = [
        lambda: worker.call("PUT", "/control", {"processes": chance.randint(1, 4)}),
        lambda: worker.call("POST", "/control/rebalance", {"share": chance.random()}),
        lambda: worker.call("POST", "/control/quiesce", {"ttlSeconds": 0.2}),
        lambda: worker.signal(signal.SIGHUP),
    ]
    if mpm != "prefork":
        threads = lambda: {"threadsPerChild": chance.randint(1, 16), "threadsCeiling": 16}  # noqa: E731
        calls += [lambda: worker.call("PUT", "/control", threads())] * 4
    for _ in range(25):
        chance.choice(calls)()
        time.sleep(chance.random() * 0.15)
    before = [one.served for one in clients]
    worker.await_board(
        lambda _: all(one.served > count for one, count in zip(clients, before, strict=True)) or failed()
    )
    for one in clients:
        one.refused_ends = True
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    for one in clients:
        one.stop()
    assert failed() == []
