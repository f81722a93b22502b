"""However a stream is cut into packets, the same comes out of it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpm_worker.http import Limits

GOOD = [
    b"GET /1?a=b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world",
    b"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n1\r\nd\r\n0\r\nT: u\r\n\r\n",
    b"\r\nHEAD /4 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
]
TOKENS = st.sampled_from(
    [
        *(
            b"GET",
            b"POST",
            b"HTTP/1.1",
            b"HTTP/1.0",
            b"/",
            b"*",
            b" ",
            b"\t",
            b"\r\n",
            b"\r",
            b"\n",
            b":",
            b",",
        ),
        *(
            b"Host",
            b"Content-Length",
            b"Transfer-Encoding",
            b"chunked",
            b"a",
            b"5",
            b"0",
            b"\xe9",
            b"%41",
            b";",
        ),
        *(b"GET / HTTP/1.1\r\n", b"Host: a\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"),
        *(b"\r\n\r\n", b"\0", b"x" * 60),
    ]
)
SMALL = Limits(request_line=120, header_bytes=160, header_count=6, body=100)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(places), len(stream)]
    return [piece for start, end in pairwise(edges) if (piece := stream[start:end])]


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_any_cut_of_a_corpus_stream_gives_the_same_events(
    data: st.DataObject, all_streams: list[bytes], events: Any
) -> None:
    before = data.draw(st.lists(st.sampled_from(GOOD), max_size=2))
    after = data.draw(st.lists(st.sampled_from(GOOD), max_size=2))
    stream = b"".join([*before, data.draw(st.sampled_from(all_streams)), *after])
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    assert events(cut(stream, places)) == events([stream])


@settings(max_examples=600, deadline=None)
@given(stream=st.lists(TOKENS, max_size=30).map(b"".join), data=st.data())
def test_any_cut_of_a_made_up_stream_gives_the_same_events(
    stream: bytes, data: st.DataObject, events: Any
) -> None:
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    assert events(cut(stream, places), SMALL) == events([stream], SMALL)


def test_single_bytes_give_the_same_events_as_one_piece(all_streams: list[bytes], events: Any) -> None:
    differing = [
        stream for stream in all_streams if events([bytes([byte]) for byte in stream]) != events([stream])
    ]
    assert differing == []


@settings(max_examples=300, deadline=None)
@given(stream=st.binary(max_size=400))
def test_any_bytes_end_in_requests_or_one_error(stream: bytes, events: Any) -> None:
    found = events([stream])
    assert [event[0] for event in found[:-1]] == ["request"] * (len(found) - 1)


@pytest.mark.parametrize("stream", GOOD)
def test_the_good_streams_here_are_good(stream: bytes, events: Any) -> None:
    assert [event[0] for event in events([stream])] == ["request"]
