"""A client that sends the same head again is remembered; nothing else may change by it."""

from __future__ import annotations

import pytest

from mpm_worker.http import Connection, ProtocolError

HEAD = b"GET /a%20b?c=d HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n"


def test_the_same_head_gives_the_same_request() -> None:
    connection = Connection()
    for _ in range(3):
        connection.receive(HEAD)
        request = connection.next_request()
        assert request is not None
        assert (request.method, request.path, request.query) == ("GET", "/a b", "c=d")
        assert request.headers == {"host": "x", "accept": "*/*"}
        assert connection.next_request() is None


@pytest.mark.parametrize("cut", range(1, len(HEAD)))
def test_a_remembered_head_in_two_pieces_is_followed_by_another(cut: int) -> None:
    connection = Connection()
    connection.receive(HEAD)
    connection.next_request()
    connection.receive(HEAD[:cut])
    assert connection.next_request() is None
    connection.receive(HEAD[cut:])
    assert connection.next_request() is not None
    connection.receive(b"GET / HTTP/1.1\r\nHost: y\r\n\r\n")
    request = connection.next_request()
    assert request is not None
    assert (request.path, request.headers) == ("/", {"host": "y"})


def test_a_body_that_looks_like_the_last_head_is_a_body() -> None:
    connection = Connection()
    connection.receive(HEAD)
    connection.next_request()
    connection.receive(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(HEAD))
    assert connection.next_request() is not None
    connection.receive(HEAD)
    assert connection.read_body(1 << 20) == HEAD
    assert connection.next_request() is None


def test_nothing_is_remembered_beyond_an_error() -> None:
    connection = Connection()
    connection.receive(HEAD)
    connection.next_request()
    connection.receive(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ProtocolError):
        connection.next_request()
    connection.receive(HEAD)
    with pytest.raises(ProtocolError):
        connection.next_request()
