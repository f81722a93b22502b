"""The counters of a WebServer, over pods that come, go, start again and are heard late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpm_operator.scoreboard import Tally, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_operator.scoreboard import Line


def test_a_pod_that_vanishes_leaves_what_it_counted(line: Callable[..., Line]) -> None:
    tally = Tally(began=0.0)
    tally.take("a", line(at=10, uptime=5, boot="a1", accesses=100))
    tally.take("b", line(at=10, uptime=5, boot="b1", accesses=10))
    tally.keep({"b"})
    tally.take("b", line(at=11, uptime=6, boot="b1", accesses=12))
    assert tally.total.accesses == 112
    assert tally.total.sent == 112 * 1024
    assert (tally.total.user_ms, tally.total.system_ms) == (112 * 7, 112 * 3)


def test_a_pod_that_starts_again_counts_from_nothing(line: Callable[..., Line]) -> None:
    tally = Tally(began=0.0)
    tally.take("a", line(at=10, uptime=5, boot="a1", accesses=100))
    tally.take("a", line(at=12, uptime=1, boot="a2", accesses=7))
    assert tally.total.accesses == 107


def test_an_operator_that_starts_later_counts_from_the_first_line_on(line: Callable[..., Line]) -> None:
    tally = Tally(began=1000.0)
    tally.take("old", line(at=1000, uptime=900, boot="o1", accesses=5000))
    tally.take("new", line(at=1003, uptime=2, boot="n1", accesses=3))
    assert tally.total.accesses == 3
    tally.take("old", line(at=1001, uptime=901, boot="o1", accesses=5004))
    assert tally.total.accesses == 7


def test_a_pod_heard_again_after_it_was_forgotten_is_not_counted_twice(line: Callable[..., Line]) -> None:
    tally = Tally(began=1000.0)
    tally.take("old", line(at=1000, uptime=900, boot="o1", accesses=5000))
    tally.keep(set())
    tally.take("old", line(at=1010, uptime=910, boot="o1", accesses=5008))
    assert tally.total.accesses == 0


@given(
    lines=st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from(["1", "2"]),
            st.integers(0, 1000),
            st.integers(0, 1000),
            st.booleans(),
        ),
        max_size=40,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_order_of_lines_lets_them_fall(
    line: Callable[..., Line], lines: list[tuple[str, str, int, int, bool]]
) -> None:
    tally = Tally(began=500.0)
    for uid, boot, accesses, at, forgotten in lines:
        before = tally.total
        tally.take(uid, line(at=at, uptime=at / 2, boot=uid + boot, accesses=accesses))
        assert all(new >= old for new, old in zip(tally.total, before, strict=True))
        if forgotten:
            tally.keep(set())
            assert all(new >= old for new, old in zip(tally.total, before, strict=True))


def test_a_worker_that_tells_less_is_counted_as_far_as_it_tells() -> None:
    text = (
        b'{"boot":"x","state":"Serving","sequence":0,"servers":1,"threadsPerChild":1,"threadsCeiling":1,'
        b'"workers":{"busy":0,"idle":1,"total":1,"queue":0},"backlog":{"limit":1,"overflows":0},'
        b'"connections":{"open":0,"keepAlive":0},"totals":{"accesses":4,"busyMs":8},'
        b'"cpu":{"ms":9,"quota":1.0,"throttledMs":0},"memory":{"rss":1,"limit":0},"settings":{},"uptimeMs":10}'
    )
    tally = Tally(began=0.0)
    tally.take("a", parse(text, 5.0))
    assert (tally.total.accesses, tally.total.sent, tally.total.user_ms) == (4, 0, 9)
