"""A client may go away at any byte: the gateway comes back, and the error log stays clean."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest

REQUEST = b"POST /path?query HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\nbody of 12 b"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"


def echo(environ: dict[str, Any], start_response: Any) -> Any:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return iter([body, b"x" * 100_000, body])


def leave(talk: Any, how: str) -> None:
    if how == "reset":
        talk.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    talk.close()


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("stream", [REQUEST, CHUNKED])
def test_a_client_may_leave_after_any_byte(connect: Any, stream: bytes, how: str) -> None:
    for count in range(len(stream) + 1):
        talk = connect(echo)
        talk.send(stream[:count])
        leave(talk, how)
        assert talk.errors.getvalue() == "", f"after {count} bytes"
        assert all(not outcome.keep_alive or count == len(stream) for outcome in talk.outcomes)


def test_an_error_log_that_cannot_be_written_costs_no_answer(connect: Any, responses: Any) -> None:
    talk = connect(lambda environ, start_response: 1 / 0)
    talk.errors.close()
    talk.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    (response,) = responses(talk.read(), ["GET"])
    assert response.status == 500
