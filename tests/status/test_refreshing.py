"""`?refresh` as httpd 2.4.71 answered when it was asked the same."""

from __future__ import annotations

import pytest

from mpm_worker.status import refresh

ANSWERS = {
    "refresh": "10",
    "refresh=": "10",
    "refresh=0": "10",
    "refresh=-3": "10",
    "refresh=nan": "10",
    "refreshing": "10",
    "refresh=%35": "10",
    "refresh=5": "5",
    "refresh=+5": "5",
    "refresh=5abc": "5",
    "refresh=7.9": "7",
    "refresh=0012": "12",
    "refresh=7;auto": "7",
    "auto&refresh=3": "3",
    "notable,refresh=3": "3",
    "refresh=1&refresh=2": "1",
    "refresh&refresh=4": "10",
    "REFRESH=3": None,
    "auto": None,
    "": None,
}


@pytest.mark.parametrize("query", ANSWERS)
def test_it_is_read_as_httpd_reads_it(query: str) -> None:
    assert refresh(query) == ANSWERS[query]


@pytest.mark.parametrize("query", ["refresh=" + "9" * 5000, "refresh=\u0665", "refresh=1\r\nSet-Cookie: a=b"])
def test_nothing_but_a_number_gets_into_the_header(query: str) -> None:
    found = refresh(query)
    assert found is not None
    assert found.isascii()
    assert found.isdigit()
    assert len(found) < 10
