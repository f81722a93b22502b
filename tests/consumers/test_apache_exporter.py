"""prometheus-apache-exporter reads a worker's page, and our own `/metrics` says the same under its names."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from consuming import answers, free_port, read, samples

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("agents")

LETTERS = {
    "idle": "_",
    "startup": "S",
    "read": "R",
    "reply": "W",
    "keepalive": "K",
    "dns": "D",
    "closing": "C",
    "logging": "L",
    "graceful_stop": "G",
    "idle_cleanup": "I",
    "open_slot": ".",
}
MOVING = ("apache_uptime_seconds_total", "apache_load", "apache_cpu", "apache_up")


def export(run: Callable[..., Any], uri: str) -> dict[str, float]:
    """What the exporter makes of the page at the URI."""
    port = free_port()
    run("prometheus-apache-exporter", f"--scrape_uri={uri}", f"--telemetry.address=127.0.0.1:{port}")
    found = samples(answers(f"http://127.0.0.1:{port}/metrics"))
    return {name: value for name, value in found.items() if name.startswith("apache_")}


def test_every_metric_is_there_and_is_the_scoreboards(
    serve: Callable[..., Any], run: Callable[..., Any], mpm: str
) -> None:
    worker = serve(mpm, "--processes", "2", "--threads", "3")
    worker.settle()
    found, auto = export(run, worker.auto_url), worker.auto()
    assert found["apache_up"] == 1
    assert found["apache_accesses_total"] == float(auto["Total Accesses"]) == 5
    assert found["apache_sent_kilobytes_total"] == float(auto["Total kBytes"]) == 15_000 // 1024
    assert found["apache_duration_ms_total"] == float(auto["Total Duration"]) >= 100
    assert found['apache_workers{state="busy"}'] == float(auto["BusyWorkers"])
    assert found['apache_workers{state="idle"}'] == float(auto["IdleWorkers"])
    assert found['apache_generation{type="config"}'] == 1
    assert found[f'apache_info{{mpm="{mpm}",version="{auto["ServerVersion"]}"}}'] == 1
    assert found["apache_version"] == 0.01
    for state, letter in LETTERS.items():
        assert found[f'apache_scoreboard{{state="{state}"}}'] == auto["Scoreboard"].count(letter), state
    if mpm == "event":
        assert found['apache_processes{state="all"}'] == 2
        assert found['apache_connections{state="total"}'] == float(auto["ConnsTotal"])


def test_our_own_metrics_have_its_names_and_values(
    serve: Callable[..., Any], run: Callable[..., Any], mpm: str
) -> None:
    """At rest, under load, and while it drains."""
    worker = serve(mpm, "--processes", "4" if mpm == "prefork" else "2", "--threads", "3")
    compare(run, worker)
    worker.hold(2)
    assert compare(run, worker)['apache_workers{state="busy"}'] == 2
    worker.process.send_signal(signal.SIGTERM)
    worker.await_board(lambda board: board["state"] == "Stopping", 60)
    found = compare(run, worker)
    assert found['apache_scoreboard{state="graceful_stop"}'] == 2
    assert found['apache_workers{state="busy"}'] == found['apache_workers{state="idle"}'] == 0
    worker.let_go()


def compare(run: Callable[..., Any], worker: Any) -> dict[str, float]:
    """What the exporter found, after it was compared with what the worker says itself."""
    for _ in range(20):  # until nothing moved meanwhile, as idle servers do that end
        before = still(worker)
        found = export(run, worker.auto_url)
        if before == (own := still(worker)):
            break
    for name, value in found.items():
        if not name.startswith(("apache_exporter", *MOVING)):
            assert name in own
            # The page has whole kilobytes.
            assert (int(own[name]) if name.startswith("apache_sent") else own[name]) == value, name
    return found


def still(worker: Any) -> dict[str, float]:
    """Our own metrics that do not move at rest."""
    found = samples(read(f"http://127.0.0.1:{worker.admin_port}/metrics"))
    return {name: found[name] for name in found if name.startswith("apache") and not name.startswith(MOVING)}
