"""What an application gets of a request that is right."""

from __future__ import annotations

from typing import Any

import pytest

from mpm_worker.http import Connection


@pytest.mark.parametrize("cut", ["whole", "bytes"])
def test_a_good_request_arrives_as_it_was_meant(accepted: dict[str, Any], cut: str) -> None:
    stream = accepted["stream"].encode("latin-1")
    then = accepted.get("then", "").encode()
    connection = Connection()
    pieces = [stream] if cut == "whole" else [bytes([byte]) for byte in stream]
    request = None
    body = b""
    for piece in pieces:
        connection.receive(piece)
        if request is None:
            request = connection.next_request()
        if request is not None and not connection.body_done:
            while part := connection.read_body(3):
                body += part
    assert request is not None
    assert connection.body_done
    assert request.method == accepted.get("method", "GET")
    assert request.path == accepted.get("path", "/")
    assert request.query == accepted.get("query", "")
    assert request.version == (1, accepted.get("version", 1))
    assert request.keep_alive is accepted.get("keep_alive", True)
    assert request.expect_continue is accepted.get("expect_continue", False)
    assert body == accepted.get("body", "").encode("latin-1")
    for name, value in accepted.get("cgi", {}).items():
        assert request.cgi[name] == value
    assert not set(accepted.get("absent", ())) & set(request.cgi)
    assert request.target == stream.lstrip().split(b" ")[1]
    assert connection.idle() is not bool(then)


def test_requests_in_one_packet_come_out_in_order() -> None:
    connection = Connection()
    connection.receive(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(1000)))
    for number in range(1000):
        request = connection.next_request()
        assert request is not None
        assert request.path == f"/{number}"
    assert connection.next_request() is None


def test_an_unread_body_is_skipped_before_the_next_request() -> None:
    connection = Connection()
    connection.receive(b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nGET /")
    assert connection.next_request() is not None
    assert connection.next_request() is None
    connection.receive(
        b"xPOST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nGET /x\r\n0\r\n\r\n"
    )
    request = connection.next_request()
    assert request is not None
    assert request.path == "/2"
    connection.receive(b"GET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
    request = connection.next_request()
    assert request is not None
    assert request.path == "/3"


def test_the_same_fields_on_one_connection_stay_apart_from_another_section() -> None:
    """A section that is repeated to the byte is read once; one that differs by a byte is not it."""
    connection = Connection()
    seen = []
    for host in (b"a", b"a", b"b", b"a"):
        connection.receive(b"GET / HTTP/1.1\r\nHost: %b\r\nX: y\r\n\r\n" % host)
        request = connection.next_request()
        assert request is not None
        seen.append(request.cgi["HTTP_HOST"])
    assert seen == ["a", "a", "b", "a"]


def test_headers_are_found_by_their_lower_case_name() -> None:
    connection = Connection()
    connection.receive(b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\nContent-Type: y\r\n\r\n")
    request = connection.next_request()
    assert request is not None
    assert request.headers == {"host": "a", "user-agent": "x", "content-type": "y"}
