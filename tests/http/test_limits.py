"""Sizes: the largest that passes, and one byte or one field more."""

from __future__ import annotations

from typing import Any

import pytest

from mpm_worker.http import Limits

LIMITS = Limits(request_line=100, header_bytes=200, header_count=5, body=50)


def head(target: int = 1, fields: int = 0, field_bytes: int = 0, more: bytes = b"") -> bytes:
    """`target` bytes of target, `fields` small fields and one that brings all fields to `field_bytes`."""
    section = b"Host: a\r\n" + b"X: y\r\n" * fields + more
    if field_bytes:
        section += b"L: " + b"v" * (field_bytes - len(section) - 3) + b"\r\n"
    return b"GET /" + b"t" * (target - 1) + b" HTTP/1.1\r\n" + section + b"\r\n"


def cut(stream: bytes, by: int) -> list[bytes]:
    return [stream[at : at + by] for at in range(0, len(stream), by)]


@pytest.mark.parametrize("by", [1, 10**6])
@pytest.mark.parametrize(
    ("stream", "status"),
    [
        (head(target=87), None),  # 100 bytes of request line
        (head(target=88), 414),
        (b"GET /" + b"t" * 200, 414),  # no end in sight
        (b"M" * 101, 400),  # no target in sight
        (head(fields=4), None),
        (head(fields=5), 431),
        (head(field_bytes=200), None),
        (head(field_bytes=201), 431),
        (b"GET / HTTP/1.1\r\n" + b"X" * 201, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 300, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 6, 431),
        (head(more=b"Content-Length: 50\r\n") + b"b" * 50, None),
        (head(more=b"Content-Length: 51\r\n"), 413),
        (head(more=b"Transfer-Encoding: chunked\r\n") + b"19\r\n" + b"b" * 25 + b"\r\n", 400),
        (head(more=b"Transfer-Encoding: chunked\r\n") + b"32\r\n" + b"b" * 50 + b"\r\n0\r\n\r\n", None),
        (head(more=b"Transfer-Encoding: chunked\r\n") + b"33\r\n", 413),
        (head(more=b"Transfer-Encoding: chunked\r\n") + b"19\r\n" + b"b" * 25 + b"\r\n1a\r\n", 413),
        (head(more=b"Transfer-Encoding: chunked\r\n") + b"0\r\n" + b"X: y\r\n" * 5 + b"\r\n", None),
        (head(more=b"Transfer-Encoding: chunked\r\n") + b"0\r\n" + b"X: y\r\n" * 6, 431),
        (head(more=b"Transfer-Encoding: chunked\r\n") + b"0\r\nX: " + b"y" * 200 + b"\r\n", 431),
    ],
)
def test_a_limit_holds_to_the_byte_however_the_stream_is_cut(
    stream: bytes, status: int | None, by: int, events: Any
) -> None:
    (event,) = events(cut(stream, by), LIMITS)
    assert (event[0], event[2] if event[0] == "error" else None) == ("error" if status else "request", status)


@pytest.mark.parametrize("by", [1, 1000, 10**6])
@pytest.mark.parametrize(
    "chunk",
    [b"1;x=" + b"y" * 4097, b"1;x=" + b"y" * 4000 + b"\r\na\r\n", b"1;" + b"a=b;" * 200 + b"c\r\na\r\n"],
)
def test_chunk_extensions_are_no_free_flood(chunk: bytes, by: int, events: Any) -> None:
    stream = head(more=b"Transfer-Encoding: chunked\r\n") + chunk * 30 + b"0\r\n\r\n"
    (event,) = events(cut(stream, by), LIMITS)
    assert event[:1] + event[2:3] == ("error", 400)
    assert "longer than 4096" in event[3] or "more framing than data" in event[3]


def test_many_small_chunks_are_allowed(events: Any) -> None:
    stream = head(more=b"Transfer-Encoding: chunked\r\n") + b"1\r\na\r\n" * 20000 + b"0\r\n\r\n"
    (event,) = events([stream], Limits())
    assert event[-1] == b"a" * 20000


def test_the_limits_of_httpd_are_the_default() -> None:
    assert Limits() == Limits(request_line=8190, header_bytes=65536, header_count=100, body=1 << 30)
