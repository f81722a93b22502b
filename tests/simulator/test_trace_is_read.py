"""Trace files: what is read, and what a bad line is told."""

from __future__ import annotations

import pytest

from mpm_operator.simulator.trace import BadTrace, parse, uneven


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("1\n2.5\n", (1.0, 2.5)),
        ("# a remark\n\n10\n\n20\n", (10.0, 20.0)),
        ("time,rps\n0,10\n1,20\n", (10.0, 20.0)),
        ('"t";"rps"\n0;"7"\n', (7.0,)),
        ("0\t5\n1\t6\n", (5.0, 6.0)),
        ("12:00:01 5\n", (5.0,)),
        ("\ufeff3\r\n4\r\n", (3.0, 4.0)),
        ("1e2\n0\n", (100.0, 0.0)),
    ],
)
def test_last_column_counts(text: str, rates: tuple[float, ...]) -> None:
    assert parse(text.splitlines(), "t.txt") == rates


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("1\nmany\n", 2),
        ("1\n-5\n", 2),
        ("nan\n", 1),
        ("1\n2\ninf\n", 3),
        ("rps\nrps\n1\n", 2),
        ("5\nrps\n", 2),
        ("1,2,\n", 1),
        ("10.5\n3,5\n", 2),
        ('"1,000"\n', 1),
        ("0;10,5\n", 1),
        ("0," + "1" * 200_000 + "\n", 1),
        ("2026-01-01\n", 1),
        ("1768000000\n", 1),
        ("", 1),
        ("# nothing\n\n", 1),
    ],
)
def test_bad_line_is_named_with_what_was_expected(text: str, line: int) -> None:
    with pytest.raises(BadTrace, match=rf"^t\.txt:{line}: expected requests a second"):
        parse(text.splitlines(), "t.txt")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("time,rps\n0,10\n5,20\n6,20\n", "t.csv:3: by its first column this line is 5 s after"),
        ("0,10\n1,20\n2,30\n1,40\n", "t.csv:4: by its first column this line is -1 s after"),
        ("0,10\n1,20\n1,20\n", "t.csv:3: by its first column this line is 0 s after"),
        ("2026-01-01 00:00:00;1\n2026-01-01T00:01:00;2\n", "t.csv:2: by its first column this line is 60 s"),
        ("1768000000000 5\n1768000060000 6\n", "t.csv:2: by its first column this line is 60 s after"),
    ],
)
def test_times_that_are_not_a_second_apart_are_said(text: str, says: str) -> None:
    assert uneven(text.splitlines(), "t.csv").startswith(says)


@pytest.mark.parametrize(
    "text",
    [
        "1\n5\n2\n",
        "time,rps\n0,10\n1,20\n2,20\n",
        "2026-01-01 00:00:00,1\n2026-01-01 00:00:01,2\n",
        "1768000000000,5\n1768000001000,6\n",
        "12:00:01 5\n12:00:07 5\n",
        "9,10\n4,20\n",
        "shop,10\nshop,20\n",
        "",
    ],
)
def test_even_times_and_other_columns_are_no_matter(text: str) -> None:
    assert uneven(text.splitlines(), "t.csv") == ""
