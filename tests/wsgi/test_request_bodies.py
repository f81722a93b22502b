"""wsgi.input: a lazy file that never ends where the body does not."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from mpm_worker.http import Limits

LINES = b"one\ntwo\n\nfour without end"
PLAIN = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def plain(body: bytes) -> bytes:
    return PLAIN % len(body) + body


def chunked(body: bytes, size: int = 5) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def reader(how: Any) -> Any:
    """An application that answers with the repr of what `how` makes of wsgi.input."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        result = repr(how(environ["wsgi.input"])).encode()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [result]

    return app


@pytest.mark.parametrize("encode", [plain, chunked])
@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (lambda body: body.read(), LINES),
        (lambda body: body.read(-1), LINES),
        (
            lambda body: (body.read(5), body.read(0), body.read(1000), body.read(1), body.read()),
            (LINES[:5], b"", LINES[5:], b"", b""),
        ),
        (lambda body: list(body), LINES.splitlines(keepends=True)),
        (
            lambda body: (body.readline(), body.readline(2), body.readline(), body.read()),
            (b"one\n", b"tw", b"o\n", LINES[8:]),
        ),
        (lambda body: body.readlines(), LINES.splitlines(keepends=True)),
        (lambda body: body.readlines(1), [b"one\n"]),
        (lambda body: (next(body), body.read1(2)), (b"one\n", b"tw")),
        (lambda body: body.readinto(bytearray(100)), len(LINES)),
    ],
)
def test_the_body_reads_like_a_file(ask: Any, encode: Any, how: Any, expected: Any) -> None:
    response = ask(reader(how), encode(LINES))
    assert response.body.decode() == repr(expected)


@pytest.mark.parametrize(
    "how", [lambda body: body.read(), lambda body: body.read(10), lambda body: body.readline(), list]
)
def test_a_request_without_a_body_reads_as_empty(ask: Any, how: Any) -> None:
    assert ask(reader(how)).body in (b"b''", b"[]")


def test_closing_the_input_of_one_request_does_not_close_that_of_the_next(
    connect: Any, responses: Any
) -> None:
    talk = connect(reader(lambda body: (body.read(), body.close())))
    talk.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
    talk.end()
    assert [each.status for each in responses(talk.read(), ["GET", "GET"])] == [200, 200]


def test_the_application_runs_before_the_body_is_there(connect: Any) -> None:
    started = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        started.set()
        body = environ["wsgi.input"].readline()
        start_response("200 OK", [])
        return [body]

    talk = connect(app)
    talk.send(PLAIN % 10)
    assert started.wait(60)
    talk.send(b"line\n")
    assert talk.read_some(b"line\n")


@pytest.mark.parametrize("encode", [plain, chunked])
def test_a_large_body_arrives_whole_and_the_connection_goes_on(
    connect: Any, responses: Any, encode: Any
) -> None:
    body = bytes(range(256)) * 4096

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        received = b"".join(iter(lambda: environ["wsgi.input"].read(100_000), b""))
        start_response("200 OK", [])
        return [b"same" if received == body else b"%d" % len(received)]

    stream = encode(body) if encode is plain else chunked(body, 30_000)
    talk = connect(app)
    threading.Thread(target=talk.send, args=(stream + stream,), daemon=True).start()
    received = talk.read_some(b"same")
    if received.count(b"same") < 2:
        received += talk.read_some(b"same")
    talk.close()
    assert [outcome.keep_alive for outcome in talk.outcomes] == [True, True]


@pytest.mark.parametrize(
    ("stream", "status", "rule"),
    [
        (PLAIN % 10 + b"short", 400, b"ended inside a request body"),
        (CHUNKED + b"5\r\nabc", 400, b"ended inside a request body"),
        (CHUNKED + b"3\r\nabc\r\n", 400, b"ended inside a request body"),
        (CHUNKED + b"3\r\nabc\r\nzz\r\n", 400, b"chunk-size line breaks"),
        (CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", 400, b"do not end with CRLF"),
        (CHUNKED + b"ff\r\n" + b"x" * 255, 413, b"longer than 100 bytes"),
    ],
)
@pytest.mark.parametrize(
    "how", [lambda body: body.read(), lambda body: list(body), lambda body: body.read(1000)]
)
def test_a_broken_body_is_an_error_for_the_application_and_named_to_the_client(
    connect: Any, responses: Any, stream: bytes, status: int, rule: bytes, how: Any
) -> None:
    """The bodies are lazy here, chunked ones too."""
    raised = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        try:
            got = how(environ["wsgi.input"])
        except OSError as error:
            raised.append(str(error))
            raise
        start_response("200 OK", [])
        return [repr(got).encode()]

    talk = connect(app, limits=Limits(body=100), whole=False)
    talk.send(stream)
    talk.end()
    (response,) = responses(talk.read(), ["POST"])
    assert (response.status, response.headers["connection"]) == (status, "close")
    assert rule in response.body
    assert len(raised) == 1
    assert talk.errors.getvalue() == "", "a client's fault is no line in the error log"


def test_an_application_that_hides_a_broken_body_behind_a_500_does_not_hide_the_rule(ask: Any) -> None:
    def framework(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except Exception:
            start_response("500 Internal Server Error", [])
        return [b"oops"]

    response = ask(framework, CHUNKED + b"x\r\n", whole=False)
    assert (response.status, b"chunk-size" in response.body) == (400, True)


def test_an_answer_made_for_a_broken_body_is_sent_and_closes(ask: Any) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except OSError:
            start_response("422 Unprocessable Content", [])
        return [b"broken"]

    response = ask(app, CHUNKED + b"x\r\n", whole=False)
    assert (response.status, response.body, response.headers["connection"]) == (422, b"broken", "close")


def ignore(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode()]


NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("stream", [plain(b"x" * 1000), plain(b"x" * 60000), chunked(b"x" * 1000, 99)])
def test_an_unread_body_does_not_become_the_next_request(connect: Any, responses: Any, stream: bytes) -> None:
    talk = connect(ignore)
    talk.send(stream + NEXT)
    talk.end()
    assert [each.body for each in responses(talk.read(), ["POST", "GET"])] == [b"/", b"/next"]


def test_an_unread_body_that_comes_later_is_drained_too(connect: Any, responses: Any) -> None:
    talk = connect(ignore)
    talk.send(PLAIN % 10 + b"12345")
    received = talk.read_some(b"\r\n\r\n/")
    talk.send(b"67890" + NEXT)
    talk.end()
    assert [each.body for each in responses(received + talk.read(), ["POST", "GET"])] == [b"/", b"/next"]


def test_a_large_unread_body_closes_the_connection_and_says_so(connect: Any, responses: Any) -> None:
    talk = connect(ignore)
    talk.send(PLAIN % 1_000_000 + b"x" * 100)
    received = talk.read_some(b"\r\n\r\n/")
    (response,) = responses(received, ["POST"])
    assert response.headers["connection"] == "close"
    talk.close()
    assert [outcome.keep_alive for outcome in talk.outcomes] == [False]


def test_an_endless_unread_body_is_not_drained_for_ever(connect: Any) -> None:
    talk = connect(ignore, whole=False)
    talk.send(CHUNKED)
    talk.read_some(b"\r\n\r\n/")
    try:
        for _ in range(200):
            talk.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
    except OSError:
        pass
    talk.close()
    assert [outcome.keep_alive for outcome in talk.outcomes] == [False]


def test_garbage_instead_of_chunks_is_refused_even_if_the_application_does_not_read(ask: Any) -> None:
    response = ask(ignore, CHUNKED + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (response.status, response.headers["connection"]) == (400, "close")


def test_the_input_of_an_old_request_takes_nothing_from_the_next(connect: Any, responses: Any) -> None:
    kept: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        failed = b""
        if kept:
            with pytest.raises(ValueError, match="after its response"):
                kept[0].read()
            failed = b"refused"
        kept.append(environ["wsgi.input"])
        start_response("200 OK", [])
        return [failed or b"kept"]

    talk = connect(app, whole=False)
    talk.send(chunked(b"first") + plain(b"second"))
    talk.end()
    assert [each.body for each in responses(talk.read(), ["POST", "POST"])] == [b"kept", b"refused"]


def test_the_input_of_an_old_request_that_had_arrived_holds_that_only(connect: Any, responses: Any) -> None:
    kept: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        kept.append(environ["wsgi.input"])
        start_response("200 OK", [])
        return [kept[0].read()]

    talk = connect(app)
    talk.send(plain(b"first") + plain(b"second"))
    talk.end()
    assert [each.body for each in responses(talk.read(), ["POST", "POST"])] == [b"first", b""]


def test_a_body_that_stops_coming_is_a_408(connect: Any, responses: Any) -> None:
    talk = connect(reader(lambda body: body.read()), timeout=0.2)
    talk.send(PLAIN % 10 + b"12345")
    (response,) = responses(talk.read(), ["POST"])
    assert (response.status, response.headers["connection"]) == (408, "close")
    assert b"nothing more of the body came in 0.2 seconds" in response.body


def test_a_body_that_trickles_below_the_minimum_rate_is_a_408(connect: Any, responses: Any) -> None:
    """Each byte comes within the timeout, the whole does not within timeout and rate (500 bytes a second)."""
    talk = connect(reader(lambda body: body.read()), timeout=3)
    talk.send(PLAIN % 1000)
    started = time.monotonic()
    try:
        while time.monotonic() - started < 40 and talk.thread.is_alive():
            talk.send(b"x")
            time.sleep(0.05)
    except OSError:
        pass
    talk.client.settimeout(60)
    assert not talk.thread.is_alive()
    received = b""
    try:
        while data := talk.client.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"slower than 500 bytes a second" in received


# -- Expect: 100-continue (RFC 9110, 10.1.1)

EXPECTING = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def test_100_continue_is_sent_when_the_application_reads(connect: Any, responses: Any) -> None:
    talk = connect(reader(lambda body: (body.read(2), body.read())))
    talk.send(EXPECTING)
    assert talk.read_some(b"\r\n\r\n") == CONTINUE
    talk.send(b"body")
    talk.end()
    (response,) = responses(talk.read(), ["POST"])
    assert response.body == b"(b'bo', b'dy')"
    assert talk.outcomes[0].keep_alive


def test_without_reading_there_is_no_100_continue_and_the_connection_closes(
    connect: Any, responses: Any
) -> None:
    """Nobody can know whether the client sends its body after all: what comes next could be either."""
    talk = connect(ignore)
    talk.send(EXPECTING)
    received = talk.read()
    assert CONTINUE not in received
    (response,) = responses(received, ["POST"])
    assert (response.status, response.headers["connection"]) == (200, "close")


@pytest.mark.parametrize(
    "stream",
    [
        EXPECTING + b"body",
        EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0") + b"body",
        b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
    ],
)
def test_no_100_continue_where_nobody_waits_for_it(connect: Any, stream: bytes) -> None:
    """The body is there already, the client is of 1.0, or there is no body."""
    talk = connect(reader(lambda body: body.read()))
    talk.send(stream)
    talk.end()
    assert talk.read().startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_1_0_client_that_sends_late_gets_no_100_continue(connect: Any) -> None:
    talk = connect(reader(lambda body: body.read()))
    talk.send(EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0"))
    time.sleep(0.1)
    talk.send(b"body")
    assert talk.read().startswith(b"HTTP/1.1 200 OK\r\n")
