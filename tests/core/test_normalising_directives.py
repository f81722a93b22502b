"""What httpd checks at startup is checked here, in its order, and each correction names field and number."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpm_operator.core.directives import Band, Correction, Effective, normalise
from mpm_operator.core.spec import WebServerSpec


def corrected(
    mpm: dict[str, Any], scaling: dict[str, Any] | None = None
) -> tuple[Effective, tuple[Correction, ...]]:
    document = {"app": {"module": "shop:app"}, "mpm": mpm, "scaling": scaling or {}}
    return normalise(msgspec.convert(document, WebServerSpec))


@pytest.mark.parametrize(
    ("mpm", "expected"),
    [
        ({}, {"start_servers": 3, "threads_per_child": 25, "thread_limit": 64, "max_request_workers": 400}),
        ({}, {"server_limit": 20, "processes_per_pod": 1, "band": None, "threads_tuned": True}),
        ({"type": "Worker"}, {"start_servers": 3, "max_request_workers": 400, "server_limit": 20}),
        ({"type": "Prefork"}, {"start_servers": 5, "threads_per_child": 1, "thread_limit": 1}),
        ({"type": "Prefork"}, {"max_request_workers": 256, "server_limit": 320, "processes_per_pod": 8}),
        ({"threadsPerChild": 100}, {"threads_per_child": 100, "thread_limit": 100, "threads_tuned": False}),
        ({"maxRequestWorkers": 25}, {"server_limit": 2, "start_servers": 1}),
        ({"maxRequestWorkers": 10}, {"threads_per_child": 10, "max_request_workers": 10}),
        ({"type": "Prefork", "maxRequestWorkers": 5}, {"processes_per_pod": 5, "max_request_workers": 5}),
        ({"minSpareThreads": 75}, {"band": Band(75, 250)}),
        ({"maxSpareThreads": 250}, {"band": Band(75, 250)}),
        ({"type": "Prefork", "minSpareServers": 20}, {"band": Band(20, 40)}),
        ({"minSpareThreads": 75, "maxSpareThreads": 250}, {"band": Band(75, 250)}),
    ],
)
def test_what_is_left_out_takes_httpds_defaults_without_a_word(
    mpm: dict[str, Any], expected: dict[str, object]
) -> None:
    effective, corrections = corrected(mpm)
    assert {name: getattr(effective, name) for name in expected} == expected
    assert corrections == ()


@pytest.mark.parametrize(
    ("mpm", "expected", "field", "words"),
    [
        ({"serverLimit": 30000}, {"server_limit": 20000}, "serverLimit", "AH00497: ServerLimit of 30000"),
        ({"type": "Worker", "serverLimit": 30000}, {"server_limit": 20000}, "serverLimit", "AH00300"),
        ({"serverLimit": 0}, {"server_limit": 1}, "serverLimit", "AH00499: ServerLimit of 0"),
        ({"type": "Worker", "serverLimit": 0}, {"server_limit": 1}, "serverLimit", "AH00302"),
        ({"type": "Prefork", "serverLimit": 0}, {"server_limit": 1}, "serverLimit", "AH00177"),
        ({"threadLimit": 150000}, {"thread_limit": 100000}, "threadLimit", "AH00502: ThreadLimit of 150000"),
        ({"type": "Worker", "threadLimit": 150000}, {"thread_limit": 20000}, "threadLimit", "AH00305"),
        ({"threadLimit": 0}, {"thread_limit": 1, "threads_per_child": 1}, "threadLimit", "AH00504"),
        ({"type": "Worker", "threadLimit": 0}, {"thread_limit": 1}, "threadLimit", "AH00307"),
        (
            {"threadsPerChild": 100, "threadLimit": 50},
            {"threads_per_child": 50},
            "threadsPerChild",
            "AH00507: ThreadsPerChild of 100 exceeds ThreadLimit of 50 threads",
        ),
        (
            {"type": "Worker", "threadsPerChild": 100, "threadLimit": 50},
            {"threads_per_child": 50},
            "threadsPerChild",
            "AH00310",
        ),
        ({"threadsPerChild": 0}, {"threads_per_child": 1}, "threadsPerChild", "AH00509"),
        ({"type": "Worker", "threadsPerChild": 0}, {"threads_per_child": 1}, "threadsPerChild", "AH00312"),
        (
            {"maxRequestWorkers": 10, "threadsPerChild": 25},
            {"max_request_workers": 25},
            "maxRequestWorkers",
            "AH00511: MaxRequestWorkers of 10 is less than ThreadsPerChild of 25",
        ),
        (
            {"type": "Worker", "maxRequestWorkers": 10, "threadsPerChild": 25},
            {"max_request_workers": 25},
            "maxRequestWorkers",
            "AH00314",
        ),
        ({"type": "Prefork", "maxRequestWorkers": 0}, {}, "maxRequestWorkers", "AH00182"),
        (
            {"maxRequestWorkers": 90},
            {"max_request_workers": 75},
            "maxRequestWorkers",
            "AH00513: MaxRequestWorkers of 90 is not an integer multiple of ThreadsPerChild of 25, "
            "decreased to 75, for at most 3 servers",
        ),
        (
            {"type": "Worker", "maxRequestWorkers": 90},
            {"max_request_workers": 75},
            "maxRequestWorkers",
            "AH00316",
        ),
        (
            {"maxRequestWorkers": 400, "processesPerPod": 3},
            {"max_request_workers": 375, "max_pods": 5},
            "maxRequestWorkers",
            "one pod of 3 x 25 slots",
        ),
        (
            {"maxRequestWorkers": 400, "serverLimit": 8},
            {"max_request_workers": 200},
            "maxRequestWorkers",
            "AH00515: MaxRequestWorkers of 400 would need 16 servers and exceed ServerLimit of 8, "
            "decreased to 200",
        ),
        (
            {"type": "Worker", "maxRequestWorkers": 400, "serverLimit": 8},
            {"max_request_workers": 200},
            "maxRequestWorkers",
            "AH00318",
        ),
        (
            {"type": "Prefork", "maxRequestWorkers": 400, "serverLimit": 256},
            {"max_request_workers": 256},
            "maxRequestWorkers",
            "AH00180",
        ),
        ({"serverLimit": 16}, {"server_limit": 16}, "serverLimit", "maxUnavailable 1"),
        ({"startServers": 0}, {"start_servers": 1}, "startServers", "AH00517"),
        ({"type": "Worker", "startServers": 0}, {"start_servers": 1}, "startServers", "AH00320"),
        ({"type": "Prefork", "startServers": 0}, {"start_servers": 1}, "startServers", "AH00184"),
        ({"startServers": 50}, {"start_servers": 16}, "startServers", "StartServers of 50 exceeds the 16"),
        ({"minSpareThreads": 0}, {"band": Band(1, 27)}, "minSpareThreads", "AH00519"),
        ({"type": "Worker", "minSpareThreads": 0}, {"band": Band(1, 27)}, "minSpareThreads", "AH00322"),
        ({"type": "Prefork", "minSpareServers": 0}, {"band": Band(1, 10)}, "minSpareServers", "AH00186"),
        (
            {"minSpareThreads": 75, "maxSpareThreads": 80},
            {"band": Band(75, 101)},
            "maxSpareThreads",
            "MaxSpareThreads of 80 is less than MinSpareThreads + one pod + 1, increased to 101",
        ),
        ({"gracefulShutdownTimeoutSeconds": 0}, {}, "gracefulShutdownTimeoutSeconds", "3600"),
        ({"minSpareServers": 5}, {"band": None}, "minSpareServers", "it is Prefork's: use minSpareThreads"),
        ({"type": "Prefork", "threadsPerChild": 25}, {}, "threadsPerChild", "one thread a server"),
        ({"type": "Prefork", "minSpareThreads": 5}, {"band": None}, "minSpareThreads", "minSpareServers"),
        (
            {"processesPerPod": 4, "serverLimit": 2, "maxRequestWorkers": 25},
            {"processes_per_pod": 2},
            "processesPerPod",
            "processesPerPod of 4 exceeds ServerLimit of 2",
        ),
    ],
)
def test_each_value_that_cannot_hold_is_corrected_and_named(
    mpm: dict[str, Any], expected: dict[str, object], field: str, words: str
) -> None:
    effective, corrections = corrected(mpm)
    assert {name: getattr(effective, name) for name in expected} == expected
    assert [c.message for c in corrections if c.field == f"spec.mpm.{field}" and words in c.message]


def test_corrections_come_in_httpds_order_and_see_what_the_earlier_ones_left() -> None:
    effective, corrections = corrected(
        {"threadsPerChild": 100, "threadLimit": 50, "maxRequestWorkers": 120, "serverLimit": 1}
    )
    assert [c.message.split(":")[0] for c in corrections][:3] == ["AH00507", "AH00513", "AH00515"]
    assert (effective.threads_per_child, effective.max_request_workers, effective.max_pods) == (50, 50, 1)


def test_more_least_pods_than_max_request_workers_allows_are_cut() -> None:
    effective, corrections = corrected({"maxRequestWorkers": 50}, {"minReplicas": 9})
    assert effective.min_replicas == 2
    assert corrections[0].field == "spec.scaling.minReplicas"


COUNTS = st.none() | st.integers(0, 200_000) | st.integers(0, 100)


LIMITS = [
    "startServers",
    "threadsPerChild",
    "threadLimit",
    "minSpareThreads",
    "maxSpareThreads",
    "minSpareServers",
    "maxSpareServers",
    "maxRequestWorkers",
    "serverLimit",
]


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["Prefork", "Worker", "Event"])},
        optional=dict.fromkeys(LIMITS, COUNTS) | {"processesPerPod": st.none() | st.integers(1, 1024)},
    ),
    st.integers(1, 10_000),
)
def test_whatever_was_asked_for_what_takes_effect_holds_together(
    mpm: dict[str, Any], min_replicas: int
) -> None:
    effective, _ = corrected(mpm, {"minReplicas": min_replicas})
    slots = effective.slots_per_pod
    assert effective.max_request_workers % slots == 0
    assert effective.max_pods * slots == effective.max_request_workers >= slots >= 1
    assert 1 <= effective.threads_per_child <= effective.thread_limit
    assert effective.max_pods * effective.processes_per_pod <= effective.server_limit
    assert 1 <= effective.min_replicas <= effective.max_pods
    assert 1 <= effective.start_pods <= effective.max_pods
    if effective.band is not None:
        assert effective.band.min_spare >= 1
        assert effective.band.min_spare + slots < effective.band.max_spare
