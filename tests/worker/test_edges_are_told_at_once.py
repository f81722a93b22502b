"""The stream: a line a second, and at once when something turns."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from gate import Gate
from stalls import quick

if TYPE_CHECKING:
    from pathlib import Path


def test_a_line_a_second_with_growing_numbers(start) -> None:
    worker = start("--threads", "2")
    watch = worker.watch()
    lines = [watch.line() for _ in range(3)]
    watch.close()
    assert [line["line"] for line in lines] == list(range(lines[0]["line"], lines[0]["line"] + 3))
    assert {line["boot"] for line in lines} == {lines[0]["boot"]}
    assert "processes" not in lines[0]


def test_saturation_and_queue_are_told_at_once(start, tmp_path: Path, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "2", "--threads", "1")
    tries = iter(range(9))

    def told() -> float:
        """Seconds from a tick to the edges that come after it; at the next tick they would be told anyway."""
        gate = Gate(tmp_path / f"gate-{next(tries)}")
        watch = worker.watch()
        first = watch.line()
        assert first["workers"] == {"busy": 0, "idle": 2, "total": 2, "queue": 0}
        watch.line()
        began = time.monotonic()
        threads = [threading.Thread(target=worker.get, args=(gate.path,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        saturated = watch.await_edge("Saturated")
        queued = watch.await_edge("Queued") if saturated["workers"]["queue"] == 0 else saturated
        seconds = time.monotonic() - began
        assert saturated["workers"]["idle"] == 0
        assert queued["workers"]["queue"] == 1
        gate.open()
        for thread in threads:
            thread.join(60)
        watch.close()
        worker.await_ready()
        return seconds

    assert quick(0.7, told)


def test_ready_is_told_to_who_watched_the_start(start, tmp_path) -> None:
    go = tmp_path / "go"
    (tmp_path / "slow.py").write_text(
        f"import os, time\nwhile not os.path.exists({str(go)!r}):\n    time.sleep(0.02)\n"
        "def app(e, s):\n    s('200 OK', [])\n    return [b'']\n"
    )
    worker = start("--threads", "2", app="slow:app", chdir=tmp_path, ready=False)
    watch = worker.watch()
    assert watch.line()["state"] == "Starting"
    assert worker.admin("/readyz")[0] == worker.admin("/startupz")[0] == 503
    assert worker.admin("/healthz")[0] == 200
    go.touch()
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
