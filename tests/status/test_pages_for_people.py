"""The HTML page in the states that it must cope with: httpd's lines, sums that fit, nothing that injects."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from mpm_worker.status import ServerLine, SlotLine
from mpm_worker.status_page import page, traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_worker.status import View

HOSTILE = "<script>alert(1)</script>\"'&\xe9\x7f"


class Cells(HTMLParser):
    """Tags as they are opened, and the rows of all tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.rows: list[list[str]] = []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag == "td":
            self.rows[-1].append("")
        self._inside = tag == "td"

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.rows[-1][-1] += data


def lines(view: View) -> list[str]:
    return re.findall(r"<dt>(.*)</dt>", page(view, table=True))


def test_no_state_shows_what_is_no_number(shown: View) -> None:
    text = page(shown, table=True)
    assert not re.search(r"\b(nan|inf|None)\b", text, re.IGNORECASE)
    board = re.search(r"<pre>(.*?)</pre>", text, re.DOTALL)
    assert board is not None
    assert board[1].replace("\n", "") == shown.letters
    assert {len(line) for line in board[1].split("\n")[:-1]} <= {64}


def test_averages_need_a_time_and_a_request(state: Callable[[str], View]) -> None:
    assert "278.6 requests/sec - 330.1 kB/second - 1213 B/request - 1.9425 ms/request" in lines(state("busy"))
    assert "0 requests/sec - 0 B/second" in lines(state("idle"))
    assert not [line for line in lines(state("starting")) if "/sec" in line or "/request" in line]


def test_the_totals_are_said_as_httpd_says_them(state: Callable[[str], View]) -> None:
    found = lines(state("busy"))
    assert "Total accesses: 27860 - Total Traffic: 32.2 MB - Total Duration: 54118" in found
    assert "CPU Usage: u18.02 s1.5 cu3.25 cs.25 - 23.02% CPU load" in found
    assert "23 requests currently being processed, 0 workers gracefully restarting, 2 idle workers" in found
    draining = lines(state("draining"))
    assert "0 requests currently being processed, 2 workers gracefully restarting, 0 idle workers" in draining


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0 B"), (5119, "5119 B"), (5120, "5.0 kB"), (1 << 21, "2.0 MB"), (5 << 30, "5.0 GB")],
)
def test_traffic_is_told_in_a_unit_that_fits(amount: int, text: str) -> None:
    assert traffic(amount) == text


def test_nothing_anybody_chose_can_inject(state: Callable[[str], View]) -> None:
    slot = SlotLine("0-0", 1, 1, "W", 0.0, 1.0, 1.0, 10, client=HOSTILE, request=f"GET /{HOSTILE} HTTP/1.1")
    plain = replace(state("busy"), slots=[replace(slot, client="a", request="GET /")])
    hostile = replace(state("busy"), name=HOSTILE, via=HOSTILE, version=HOSTILE, mpm=HOSTILE, slots=[slot])
    found = Cells(page(hostile, table=True))
    assert found.tags == Cells(page(plain, table=True)).tags
    assert found.rows[-1][-2:] == [HOSTILE, f"GET /{HOSTILE} HTTP/1.1"]


def test_a_row_a_slot_that_has_a_process(state: Callable[[str], View]) -> None:
    slots = [
        SlotLine("0-0", 7, 12, "W", 3.9, 41.6, 120.4, 2048, "", "GET /a"),
        SlotLine("0-1", 7, 0, ".", 0.0, 0.0, 0.0, 0, "", ""),
    ]
    view = replace(state("busy"), slots=slots)
    rows = [row for row in Cells(page(view, table=True)).rows if row]
    assert rows == [["0-0", "7", "12", "W", "3", "42", "120", "2.0", "", "GET /a"]]
    assert "<table" not in page(view, table=False)


def test_event_shows_where_its_connections_are(state: Callable[[str], View]) -> None:
    one = ServerLine(0, 100, False, 9, True, "WWR__", 1, 4, 2)
    two = ServerLine(1, 101, True, 3, False, "GIIII", 0, 2, 0)
    rows = Cells(page(replace(state("busy"), processes=[one, two]), table=False)).rows
    assert rows[2:] == [
        ["0", "100", "no", "9", "yes", "3", "0", "2", "1", "0", "4", "2"],
        ["1", "101", "yes", "3", "no", "0", "1", "0", "0", "0", "2", "0"],
        ["Sum", "2", "1", "12", "", "3", "1", "2", "1", "0", "6", "2"],
    ]
