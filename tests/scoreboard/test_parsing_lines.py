"""A pod's line becomes a report; anything else is an error that names the field."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpm_operator.core.snapshot import PodState
from mpm_operator.scoreboard import Malformed, merge, parse


def line(**changes: Any) -> dict[str, Any]:
    return {
        "boot": "6f1c0e5ad2b94c11",
        "pod": "uid-1",
        "line": 103,
        "edge": "",
        "state": "Serving",
        "sequence": 12,
        "keyVersion": 1,
        "mpm": "event",
        "generation": 0,
        "servers": 1,
        "threadsPerChild": 25,
        "threadsCeiling": 64,
        "threadLimit": 64,
        "settings": {"threadsPerChild": 25, "keepAlive": True, "timeoutSeconds": 60},
        "workers": {"busy": 1, "idle": 24, "total": 25, "queue": 2},
        "backlog": {"depth": 2, "limit": 511, "overflows": 3},
        "connections": {"open": 3, "keepAlive": 2},
        "totals": {
            "accesses": 27860,
            "bytes": 33803264,
            "connections": 310,
            "busyMs": 54118,
            "unauthorized": 0,
        },
        "cpu": {"ms": 18020, "quota": 1.0, "throttledMs": 5},
        "memory": {"rss": 40108032, "limit": 268435456},
        "uptimeMs": 189613,
    } | changes


def test_every_number_of_the_contract_arrives() -> None:
    said = parse(json.dumps(line(edge="Queued")).encode(), 7.5)
    report = said.report
    assert (said.edge, said.pod_uid, said.key_version) == ("Queued", "uid-1", 1)
    assert (report.at, report.boot, report.state, report.sequence) == (
        7.5,
        "6f1c0e5ad2b94c11",
        PodState.SERVING,
        12,
    )
    assert (report.busy, report.idle, report.total, report.queue) == (1, 24, 25, 2)
    assert (report.servers, report.threads_per_child, report.threads_ceiling) == (1, 25, 64)
    assert (report.backlog_limit, report.overflows) == (511, 3)
    assert (report.connections, report.keep_alive) == (3, 2)
    assert (report.accesses, report.busy_ms, report.cpu_ms) == (27860, 54118, 18020)
    assert (report.cpu_quota, report.throttled_ms) == (1.0, 5)
    assert (report.rss, report.memory_limit, report.uptime_ms) == (40108032, 268435456, 189613)
    assert report.settings == {"threadsPerChild": 25, "keepAlive": True, "timeoutSeconds": 60}


def test_what_a_newer_worker_adds_is_let_through() -> None:
    said = parse(json.dumps(line(weather="fine", edge="Rained")).encode(), 0.0)
    assert said.edge == "Rained"


@pytest.mark.parametrize("missing", ["boot", "state", "workers", "settings", "sequence"])
def test_a_missing_field_is_named(missing: str) -> None:
    said = line()
    del said[missing]
    with pytest.raises(Malformed, match=missing):
        parse(json.dumps(said).encode(), 0.0)


def test_a_number_of_the_wrong_type_is_named() -> None:
    with pytest.raises(Malformed, match=r"workers\.busy"):
        parse(json.dumps(line(workers={"busy": "1", "idle": 0, "total": 1, "queue": 0})).encode(), 0.0)


def test_settings_are_shared_by_reports_that_say_the_same_and_named_where_they_are_wrong() -> None:
    first, again = (parse(json.dumps(line(line=n)).encode(), 0.0).report for n in (1, 2))
    assert first.settings is again.settings
    for wrong in ({"keepAlive": "yes"}, [25]):
        with pytest.raises(Malformed, match="settings"):
            parse(json.dumps(line(settings=wrong)).encode(), 0.0)


def test_an_unknown_state_is_refused() -> None:
    with pytest.raises(Malformed, match=r"\$\.state"):
        parse(json.dumps(line(state="Dreaming")).encode(), 0.0)


@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_report_or_in_malformed(data: bytes) -> None:
    with suppress(Malformed):
        assert parse(data, 0.0).report.at == 0.0


@given(st.lists(st.tuples(*[st.integers(0, 10_000)] * 3), max_size=20))
def test_a_merged_board_holds_what_its_pods_hold(pods: list[tuple[int, int, int]]) -> None:
    reports = [
        parse(
            json.dumps(
                line(workers={"busy": busy, "idle": idle, "total": busy + idle, "queue": queue})
            ).encode(),
            float(number),
        ).report
        for number, (busy, idle, queue) in enumerate(pods)
    ]
    whole = merge(reports)
    assert whole.pods == len(pods)
    assert (whole.busy, whole.idle, whole.queue) == tuple(sum(pod[i] for pod in pods) for i in range(3))
    assert whole.busy + whole.idle == whole.total
    assert whole.oldest == (0.0 if pods else None)
