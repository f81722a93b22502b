"""Netdata's apache collector reads a worker's page: its charts and dimensions are there, and our values."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHARTS = {
    "workers": {"idle_workers", "busy_workers"},
    "requests": {"total_accesses"},
    "net": {"total_kBytes"},
    "reqpersec": {"req_per_sec"},
    "bytespersec": {"bytes_per_sec"},
    "bytesperreq": {"bytes_per_req"},
    "uptime": {"uptime"},
}
CONNECTIONS = {
    "connections": {"conns_total"},
    "conns_async": {"conns_async_keep_alive", "conns_async_closing", "conns_async_writing"},
}
STATES = {
    "waiting": "_",
    "starting": "S",
    "reading": "R",
    "sending": "W",
    "keepalive": "K",
    "dns_lookup": "D",
    "closing": "C",
    "logging": "L",
    "finishing": "G",
    "idle_cleanup": "I",
    "open": ".",
}


def test_its_charts_appear_with_their_dimensions(serve: Callable[..., Any], netdata: Path, mpm: str) -> None:
    worker = serve(mpm, "--processes", "4" if mpm == "prefork" else "2", "--threads", "3")
    worker.hold(2)
    worker.await_board(lambda board: board["uptimeMs"] > 1000)
    auto = worker.auto()
    done = subprocess.run(
        [str(netdata), worker.auto_url], capture_output=True, text=True, timeout=60, check=False
    )
    worker.let_go()
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    charts = {name: set(chart["dimensions"]) for name, chart in found["charts"].items()}
    scoreboard = {f"scoreboard_{state}" for state in STATES}
    assert charts == CHARTS | (CONNECTIONS if mpm == "event" else {}) | {"scoreboard": scoreboard}
    values = found["values"]
    assert values.keys() >= set().union(*charts.values())
    for state, letter in STATES.items():
        assert values[f"scoreboard_{state}"] == auto["Scoreboard"].count(letter), state
    assert values["busy_workers"] == int(auto["BusyWorkers"]) == 2
    assert values["idle_workers"] == int(auto["IdleWorkers"]) == 4 - 2 * (mpm == "prefork")
    assert values["total_accesses"] == 5
    assert values["total_kBytes"] == int(auto["Total kBytes"])
    assert values["uptime"] >= int(auto["Uptime"]) > 0
    if mpm == "event":
        assert values["conns_total"] == int(auto["ConnsTotal"]) == 2
