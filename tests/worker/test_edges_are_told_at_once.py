"""The stream: a line a second, and at once when something turns."""

from __future__ import annotations

import threading
import time


def test_a_line_a_second_with_growing_numbers(start) -> None:
    worker = start("--threads", "2")
    watch = worker.watch()
    lines = [watch.line() for _ in range(3)]
    watch.close()
    assert [line["line"] for line in lines] == list(range(lines[0]["line"], lines[0]["line"] + 3))
    assert {line["boot"] for line in lines} == {lines[0]["boot"]}
    assert "processes" not in lines[0]


def test_saturation_and_queue_are_told_at_once(start, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "2", "--threads", "1")
    watch = worker.watch()
    first = watch.line()
    assert first["workers"] == {"busy": 0, "idle": 2, "total": 2, "queue": 0}
    threads = [threading.Thread(target=worker.get, args=("/sleep/0.7",)) for _ in range(3)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    saturated = watch.await_edge("Saturated")
    queued = watch.await_edge("Queued") if saturated["workers"]["queue"] == 0 else saturated
    told = time.monotonic() - began
    assert saturated["workers"]["idle"] == 0
    assert queued["workers"]["queue"] == 1
    # All of it was told while the requests were still running, not at the tick after them.
    assert told < 0.7
    for thread in threads:
        thread.join(60)
    watch.close()


def test_ready_is_told_to_who_watched_the_start(start, tmp_path) -> None:
    (tmp_path / "slow.py").write_text(
        "import time\ntime.sleep(1.5)\ndef app(e, s):\n    s('200 OK', [])\n    return [b'']\n"
    )
    worker = start("--threads", "2", app="slow:app", chdir=tmp_path, ready=False)
    watch = worker.watch()
    assert watch.line()["state"] == "Starting"
    assert worker.admin("/readyz")[0] == worker.admin("/startupz")[0] == 503
    assert worker.admin("/healthz")[0] == 200
    assert watch.await_edge("Ready")["state"] == "Serving"
    watch.close()
    assert worker.admin("/readyz")[0] == worker.admin("/startupz")[0] == 200


def test_a_control_call_is_told(start) -> None:
    worker = start("--threads", "2")
    watch = worker.watch()
    watch.line()
    worker.call("PUT", "/control", {"keepAliveTimeoutSeconds": 7})
    line = watch.await_edge("Control")
    watch.close()
    assert line["settings"]["keepAliveTimeoutSeconds"] == 7
    assert line["sequence"] == worker.sequence
