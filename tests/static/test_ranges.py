"""Parts of files (RFC 9110, 14)."""

from __future__ import annotations

import email
import email.policy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpm_worker.static.ranges import read_ranges

PATH = "/static/alphabet.txt"
TEXT = bytes(range(97, 123)) * 4


@pytest.mark.parametrize(
    ("field", "first", "last"),
    [
        ("bytes=0-3", 0, 3),
        ("bytes=103-103", 103, 103),
        ("bytes=100-", 100, 103),
        ("bytes=100-999", 100, 103),
        ("bytes=-4", 100, 103),
        ("bytes=-999", 0, 103),
        ("BYTES=0-0", 0, 0),
        ("bytes= 1-2 ,", 1, 2),
        ("bytes=5-6, 200-300", 5, 6),
        ("bytes=0-99999999999999999999999999", 0, 103),
    ],
)
def test_one_part(ask: Any, field: str, first: int, last: int) -> None:
    answer = ask(PATH, range=field)
    assert (answer.status, answer.body) == (206, TEXT[first : last + 1])
    assert answer["Content-Range"] == f"bytes {first}-{last}/104"
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["ETag"]


@pytest.mark.parametrize(
    "field",
    ["bytes=104-", "bytes=104-200", "bytes=-0", "bytes=200-300,400-", "bytes=9999999999999999999999-"],
)
def test_nothing_of_what_was_asked_for_is_there(ask: Any, field: str) -> None:
    answer = ask(PATH, range=field)
    assert (answer.status, answer["Content-Range"]) == (416, "bytes */104")


@pytest.mark.parametrize(
    "field",
    [
        "bytes=",
        "bytes",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-4",
        "bytes=0-3,x",
        "bytes=1-2-3",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=\u0661-2",
        "lines=0-3",
        "0-3",
        "bytes=0-10,5-20",
        "bytes=0-,0-,0-",
        "bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(17)),
        "",
    ],
)
def test_a_field_that_says_nothing_or_wants_too_much_is_ignored(ask: Any, field: str) -> None:
    answer = ask(PATH, range=field)
    assert (answer.status, answer.body) == (200, TEXT)


def test_a_range_means_nothing_to_a_head_or_an_empty_file(ask: Any) -> None:
    assert ask(PATH, "HEAD", range="bytes=0-3").status == 200
    assert ask("/static/empty.css", range="bytes=0-3").status == 200


def test_several_parts_are_one_message_of_parts(ask: Any) -> None:
    answer = ask(PATH, range="bytes=0-2,10-11,-3")
    assert answer.status == 206
    assert answer["Content-Range"] is None
    raw = f"Content-Type: {answer['Content-Type']}\r\n\r\n".encode() + answer.body
    message = email.message_from_bytes(raw, policy=email.policy.HTTP)
    parts = [
        (part["Content-Type"], part["Content-Range"], part.get_payload(decode=True))
        for part in message.iter_parts()  # type: ignore[attr-defined]
    ]
    kind = "text/plain; charset=utf-8"
    assert [(str(a).replace('"', ""), b) for a, b, _ in parts] == [
        (kind, "bytes 0-2/104"),
        (kind, "bytes 10-11/104"),
        (kind, "bytes 101-103/104"),
    ]
    assert [content for *_, content in parts] == [b"abc", b"kl", b"xyz"]


@given(st.text("0123456789-, =bytes", max_size=30), st.integers(0, 50))
def test_every_range_lies_in_the_file_and_none_twice(text: str, size: int) -> None:
    ranges = read_ranges("bytes=" + text, size)
    for first, end in ranges or []:
        assert 0 <= first < end <= size
    assert sum(end - first for first, end in ranges or []) <= size
