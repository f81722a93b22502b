"""A client that sends the same head again is remembered; nothing else may change by it."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

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


LINES = (
    *("Host: x", "Host: yy", "Host: a b", "Accept: */*", "Accept: */", "Accept:", "X-Id: 1", "X-Id: 2"),
    *("X-Id: 333", "X-Other: 1", "X_Id: 1", "Connection: close", "Connection: keep-alive"),
    *("Connection: upgrade", "Cookie: a=1", "Cookie: a=2", "Authorization: b", "Content-Length: 0"),
    *("Transfer-Encoding: chunked", "Expect: 100-continue", "no field", " folded", "X-Id: 1\nX-Other: 2"),
)
heads = st.lists(st.sampled_from(LINES), max_size=6)


def seen(connection: Connection, lines: list[str]) -> tuple[object, ...]:
    connection.receive("\r\n".join([f"GET /{len(lines)} HTTP/1.1", *lines, "", ""]).encode())
    try:
        request = connection.next_request()
    except ProtocolError as error:
        return error.status, error.rule
    assert request is not None
    return request.method, request.path, request.brief, request.cgi, request.keep_alive, connection.body_done


@example([], 0, 1, ["Host: a b"])
@example(["Accept: */*", "X-Id: 1"], 1, 2, ["X-Id: 2"])
@example(["Accept: */*"], 1, 2, ["Connection: close"])
@given(heads, st.integers(0, 6), st.integers(0, 6), heads)
def test_what_a_head_says_does_not_depend_on_the_one_before(
    before: list[str], start: int, end: int, other: list[str]
) -> None:
    connection = Connection()
    first = seen(connection, ["Host: x", *before])
    assume(len(first) > 2 and first[-1])
    lines = ["Host: x", *before]
    lines[start:end] = other
    assert seen(connection, lines) == seen(Connection(), lines)
    assert seen(Connection(), ["Host: x", *before]) == first
