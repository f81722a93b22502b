"""What must never reach an application is refused with the status and the name of the broken rule."""

from __future__ import annotations

from typing import Any

import pytest

from mpm_worker.http import Connection, ProtocolError
from mpm_worker.http.response import error_response

GOOD = b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n"
Case = tuple[bytes, int, str]


def feed_by_bytes(connection: Connection, stream: bytes) -> None:
    for byte in stream:
        connection.receive(bytes([byte]))
        if connection.next_request() is not None:
            return


def test_a_bad_head_is_refused_by_its_rule(refusal: Case) -> None:
    stream, status, rule = refusal
    connection = Connection()
    connection.receive(stream)
    with pytest.raises(ProtocolError) as refused:
        connection.next_request()
    assert (refused.value.status, rule in refused.value.rule) == (status, True), str(refused.value)


def test_a_bad_head_is_refused_without_waiting_for_more_than_it_sent(refusal: Case) -> None:
    stream, status, rule = refusal
    with pytest.raises(ProtocolError) as refused:
        feed_by_bytes(Connection(), stream)
    assert (refused.value.status, rule in refused.value.rule) == (status, True), str(refused.value)


def test_good_requests_before_a_bad_one_are_served_first(refusal: Case) -> None:
    connection = Connection()
    connection.receive(GOOD + GOOD + refusal[0])
    assert [connection.next_request().path for _ in range(2)] == ["/good", "/good"]  # type: ignore[union-attr]
    with pytest.raises(ProtocolError):
        connection.next_request()


def test_nothing_is_served_after_a_bad_request(refusal: Case) -> None:
    connection = Connection()
    connection.receive(refusal[0])
    with pytest.raises(ProtocolError) as first:
        connection.next_request()
    connection.receive(GOOD)
    with pytest.raises(ProtocolError) as second:
        connection.next_request()
    assert second.value is first.value
    assert not connection.idle()


def test_a_broken_body_is_an_error_for_its_reader(broken_body: Case, events: Any) -> None:
    stream, status, rule = broken_body
    *before, (kind, head, got, named) = events([stream])
    assert (before, kind, got) == ([], "error", status), named
    assert rule in named
    assert head[0] == "POST", "the head was right"


def test_bytes_after_bad_chunks_are_no_request(bad_chunks: Case) -> None:
    connection = Connection()
    connection.receive(bad_chunks[0])
    assert connection.next_request() is not None
    connection.receive(b"\r\n\r\n" + GOOD)
    with pytest.raises(ProtocolError):
        connection.next_request()


@pytest.mark.parametrize(
    "stream",
    [
        b"G",
        b"GET",
        b"GET / HTTP/1.1",
        b"GET / HTTP/1.1\r",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
    ],
)
def test_a_head_cut_short_is_refused_when_the_client_ends(stream: bytes) -> None:
    connection = Connection()
    connection.receive(stream)
    assert connection.next_request() is None
    assert not connection.idle()
    connection.receive(b"")
    with pytest.raises(ProtocolError, match="ended inside a request head") as refused:
        connection.next_request()
    assert refused.value.status == 400


@pytest.mark.parametrize("stream", [b"", b"\r\n", b"\r\n\r\n", GOOD, GOOD + b"\r\n"])
def test_an_end_between_requests_is_no_error(stream: bytes) -> None:
    connection = Connection()
    connection.receive(stream)
    connection.receive(b"")
    while connection.next_request() is not None:
        pass
    assert connection.idle()
    assert connection.eof


def test_the_answer_names_the_rule_and_closes(refusal: Case) -> None:
    stream, status, rule = refusal
    connection = Connection()
    connection.receive(stream)
    with pytest.raises(ProtocolError) as refused:
        connection.next_request()
    head, _, body = error_response(refused.value).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0].startswith(f"HTTP/1.1 {status} ")
    assert "Connection: close" in lines
    assert any(line.startswith("Date: ") for line in lines)
    length = next(int(line[16:]) for line in lines if line.startswith("Content-Length: "))
    if stream.startswith(b"HEAD "):
        assert body == b"", "the answer to a HEAD has no content"
    else:
        assert len(body) == length
        assert rule in body.decode()
