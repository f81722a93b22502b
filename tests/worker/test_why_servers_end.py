"""`mpm_servers_ended_total` says why servers went, and the stream's last line what was cut."""

from __future__ import annotations

import http.client
import os
import re
import signal
import threading
import time


def ended(worker) -> dict[str, int]:
    text = worker.admin("/metrics")[2].decode()
    return {
        why: int(n)
        for why, n in re.findall(r'mpm_servers_ended_total\{reason="(\w+)"\} (\d+)', text)
        if n != "0"
    }


def await_ended(worker, wanted: dict[str, int]) -> None:
    end = time.monotonic() + 60
    while ended(worker) != wanted:
        assert time.monotonic() < end, ended(worker)
        time.sleep(0.05)


def test_a_killed_one_a_restart_and_one_too_many(start) -> None:
    worker = start("--mpm", "worker", "--processes", "2", "--threads", "1")
    os.kill(worker.scoreboard()["processes"][0]["pid"], signal.SIGKILL)
    await_ended(worker, {"failed": 1})
    worker.await_board(lambda board: board["workers"]["idle"] == 2)
    worker.signal(signal.SIGUSR1)
    await_ended(worker, {"failed": 1, "restart": 2})
    worker.await_board(lambda board: board["workers"]["idle"] == 2)
    assert worker.call("PUT", "/control", {"processes": 1})[0] == 200
    await_ended(worker, {"failed": 1, "restart": 2, "surplus": 1})


def test_one_that_has_had_its_connections(start) -> None:
    worker = start("--mpm", "worker", "--threads", "2", "--max-connections-per-child", "4")
    for _ in range(8):
        worker.get()
        if ended(worker):
            break
    end = time.monotonic() + 60
    while not ended(worker).get("worn"):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert set(ended(worker)) == {"worn"}


def test_a_fast_stop_takes_no_server_for_failed(start, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "2", "--threads", "2")
    worker.signal(signal.SIGINT)
    assert worker.exit_code() == 0
    assert not [line for line in worker.said if "was killed by" in line]


def test_the_last_line_tells_what_the_deadline_cut(start, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "1", "--threads", "2", "--graceful-timeout", "1")
    watch = worker.watch()
    asking = threading.Thread(target=_ask, args=(worker,))
    asking.start()
    worker.await_board(lambda board: board["workers"]["busy"] == 1)
    worker.signal(signal.SIGTERM)
    cut = 0
    for _ in range(100):
        line = watch.line()
        cut = line["totals"]["cut"]
        if cut:
            break
    assert cut == 1
    assert worker.exit_code() == 0
    asking.join(60)
    watch.close()


def _ask(worker) -> None:
    try:
        worker.get("/sleep/200")
    except (OSError, http.client.HTTPException):
        pass  # it is cut: that is what the test is about
