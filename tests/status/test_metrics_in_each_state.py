"""`/metrics` of a worker in each state and model: well formed, finite, and of one mind with `?auto`."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from mpm_worker.metrics import metrics
from mpm_worker.observe import Durations
from mpm_worker.scoreboard import BOUNDS
from mpm_worker.status import auto

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_worker.status import View

LABEL = r'[a-z_]+="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"(\w+(?:\{{{LABEL}(?:,{LABEL})*\}})?) (\S+)")
COUNTS = (5, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 7)


def samples(text: str) -> dict[str, float]:
    """Raises where a line is no sample, or one comes twice."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        if not line.startswith("# "):
            sample = SAMPLE.fullmatch(line)
            assert sample is not None, line
            assert sample[1] not in found
            found[sample[1]] = float(sample[2])
    return found


def test_every_number_is_one(shown: View) -> None:
    found = samples(metrics(replace(shown, ended={"worn": 2}), {0: (1 << 20, 1 << 19)}))
    assert all(map(math.isfinite, found.values()))
    assert found["mpm_workers_busy_ratio"] <= 1
    assert found['mpm_servers_ended_total{reason="worn"}'] == 2


def test_a_pod_without_a_slot_has_no_ratio_but_zero(state: Callable[[str], View]) -> None:
    found = samples(metrics(state("starting"), {}))
    assert (found["mpm_workers_busy_ratio"], found["mpm_workers_demand_ratio"]) == (0, 0)


def test_what_the_page_counts_is_counted_alike(shown: View) -> None:
    found = samples(metrics(shown, {}))
    page = dict(line.split(": ", 1) for line in auto(shown).splitlines() if ": " in line)
    assert found['apache_workers{state="busy"}'] == float(page["BusyWorkers"])
    assert found['apache_workers{state="idle"}'] == float(page["IdleWorkers"])
    assert found['apache_scoreboard{state="graceful_stop"}'] == float(page["GracefulWorkers"])
    if shown.mpm == "event":
        states = {"total": "Total", "writing": "AsyncWriting"}
        states |= {"keepalive": "AsyncKeepAlive", "closing": "AsyncClosing"}
        for state, field in states.items():
            assert found[f'apache_connections{{state="{state}"}}'] == float(page[f"Conns{field}"])


def test_no_connection_is_in_two_states(state: Callable[[str], View]) -> None:
    """Prefork and Worker tell them by letters: five of each make the whole."""
    load = replace(state("busy").load, connections=20, reading=5, keep_alive=5, closing=5)
    view = replace(state("busy"), mpm="prefork", load=load, letters="RKCW" * 5)
    found = samples(metrics(view, {}))
    each = [found[f'apache_connections{{state="{name}"}}'] for name in ("reading", "writing", "keepalive")]
    assert each == [5, 5, 5]


def test_the_histogram_adds_up(state: Callable[[str], View]) -> None:
    found = samples(metrics(replace(state("busy"), durations=Durations(COUNTS, 77.5)), {}))
    name = "mpm_request_duration_seconds"
    bounds = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
    buckets = [found[f'{name}_bucket{{le="{bound}"}}'] for bound in bounds]
    assert buckets == sorted(buckets)
    assert buckets[-1] == found[f"{name}_count"] == sum(COUNTS)
    assert found[f"{name}_sum"] == 77.5


def test_labels_are_escaped(state: Callable[[str], View]) -> None:
    text = metrics(replace(state("idle"), version='mpm-worker/1.2.3 (a "b" \\ c\nd)'), {})
    assert 'version="mpm-worker/1.2.3 (a \\"b\\" \\\\ c\\nd)"' in text
    assert samples(text)["apache_version"] == 1.02003


def test_memory_that_the_kernel_does_not_tell_is_left_out(shown: View) -> None:
    found = samples(metrics(shown, {0: (1 << 20, 1 << 19), 1: (1 << 20, 0)}))
    assert 'mpm_server_resident_memory_bytes{server="1"}' in found
    assert 'mpm_server_proportional_memory_bytes{server="0"}' in found
    assert 'mpm_server_proportional_memory_bytes{server="1"}' not in found
