"""How content is framed and what the connection becomes (RFC 9112, 6.3 and 9.3)."""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from stalls import StoodStill, sleep_and_watch, when_steady

TEXT = [("Content-Type", "text/plain")]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def answer(content: Any, headers: list[tuple[str, str]] | None = None, status: str = "200 OK") -> Any:
    """An application that returns what `content` makes; a fresh one for each request."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        environ["wsgi.input"].read()
        start_response(status, [*(TEXT if headers is None else headers)])
        return content() if callable(content) else content

    return app


def test_a_response_says_what_it_is_when_and_how_long(ask: Any) -> None:
    response = ask(answer([b"hello"]))
    assert (response.status, response.reason, response.body) == (200, "OK", b"hello")
    assert response.headers["content-length"] == "5"
    assert response.headers["content-type"] == "text/plain"
    assert abs(parsedate_to_datetime(response.headers["date"]).timestamp() - time.time()) < 60
    assert "connection" not in response.headers
    assert "transfer-encoding" not in response.headers


@pytest.mark.parametrize(
    ("content", "length"),
    [
        ([], "0"),
        ([b""], "0"),
        ([b"a", b"", b"bc"], "3"),
        ((b"abc",), "3"),
        (lambda: [b"x" * 200_000, b"y"], "200001"),
        (lambda: iter([]), "0"),
        (lambda: iter([b"", b""]), "0"),
    ],
)
def test_a_length_that_is_known_is_declared(ask: Any, content: Any, length: str) -> None:
    response = ask(answer(content))
    assert response.headers["content-length"] == length
    assert len(response.body) == int(length)


@pytest.mark.parametrize(
    "content", [lambda: iter([b"a", b"", b"bc"]), lambda: (b"a", b"bc"), lambda: iter([b"abc"])]
)
def test_content_of_unknown_length_is_chunked(connect: Any, responses: Any, content: Any) -> None:
    talk = connect(answer(content))
    talk.send(GET)
    talk.end()
    received = talk.read()
    (response,) = responses(received, ["GET"])
    assert (response.body, response.headers["transfer-encoding"]) == (b"abc", "chunked")
    assert "content-length" not in response.headers
    assert received.endswith(b"\r\n0\r\n\r\n")
    assert received.count(b"\r\n0\r\n") == 1, "an empty block must not end the message"


def test_a_1_0_client_gets_content_of_unknown_length_up_to_the_end_of_the_connection(ask: Any) -> None:
    response = ask(answer(lambda: iter([b"a", b"bc"])), b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (response.body, response.headers["connection"]) == (b"abc", "close")
    assert "transfer-encoding" not in response.headers
    assert "content-length" not in response.headers


@pytest.mark.parametrize(
    ("request_head", "kept", "says"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n", True, None),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n", True, None),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", False, "close"),
        (b"GET / HTTP/1.0\r\n", False, "close"),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n", True, "keep-alive"),
    ],
)
def test_the_connection_lives_as_version_and_fields_say(
    connect: Any, responses: Any, request_head: bytes, kept: bool, says: str | None
) -> None:
    talk = connect(answer([b"hello"]))
    talk.send((request_head + b"\r\n") * 2)
    talk.end()
    for response in responses(talk.read(), ["GET"] * (2 if kept else 1)):
        assert response.headers.get("connection") == says
    assert [outcome.keep_alive for outcome in talk.outcomes] == ([True, True] if kept else [False])


def test_the_owner_of_the_connection_can_have_it_closed(connect: Any, responses: Any) -> None:
    talk = connect(answer([b"hello"]), must_close=True)
    talk.send(GET + GET)
    (response,) = responses(talk.read(), ["GET"])
    assert response.headers["connection"] == "close"


def test_pipelined_requests_are_answered_in_order(connect: Any, responses: Any) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [environ["PATH_INFO"].encode()]

    talk = connect(app)
    talk.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(500)))
    talk.end()
    bodies = [each.body for each in responses(talk.read(), ["GET"] * 500)]
    assert bodies == [b"/%d" % number for number in range(500)]


def test_a_bad_request_behind_a_good_one_is_answered_after_it(connect: Any, responses: Any) -> None:
    talk = connect(answer([b"hello"]))
    talk.send(GET + b"GET / HTTP/1.1\r\n\r\n" + GET)
    good, bad = responses(talk.read(), ["GET", "GET"])
    assert (good.status, bad.status, bad.headers["connection"]) == (200, 400, "close")
    assert b"without Host" in bad.body
    assert len(talk.outcomes) == 1


# -- messages without content

HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    ("content", "headers", "length"),
    [
        ([b"hello"], TEXT, "5"),
        ([], TEXT, None),
        ([], [("Content-Length", "1000")], "1000"),
        ([b"hello"], [("Content-Length", "5")], "5"),
        (lambda: iter([b"a", b"b"]), TEXT, None),
    ],
)
def test_a_head_gets_the_head_alone(
    connect: Any, responses: Any, content: Any, headers: Any, length: Any
) -> None:
    talk = connect(answer(content, headers))
    talk.send(HEAD + GET.replace(b"GET", b"HEAD"))
    talk.end()
    received = talk.read()
    assert received.endswith(b"\r\n\r\n")
    for response in responses(received, ["HEAD", "HEAD"]):
        assert (response.body, response.headers.get("content-length")) == (b"", length)
        assert "transfer-encoding" not in response.headers
    assert talk.errors.getvalue() == ""


@pytest.mark.parametrize(
    ("status", "headers", "length"),
    [
        ("204 No Content", TEXT, None),
        ("204 No Content", [("Content-Length", "5")], None),
        ("205 Reset Content", TEXT, "0"),
        ("304 Not Modified", TEXT, "5"),
        ("304 Not Modified", [("Content-Length", "1000")], "1000"),
    ],
)
@pytest.mark.parametrize("make", [list, iter])
def test_a_status_without_content_has_none_and_keeps_the_connection(
    connect: Any, responses: Any, status: str, headers: Any, length: str | None, make: Any
) -> None:
    talk = connect(answer(lambda: make([b"hello"]), headers, status))
    talk.send(GET + GET)
    talk.end()
    received = talk.read()
    assert b"hello" not in received
    assert received.count(b"\r\n\r\n") == 2
    for response in responses(received, ["GET", "GET"]):
        expected = None if make is iter and headers is TEXT and status[:3] == "304" else length
        assert (response.body, response.headers.get("content-length")) == (b"", expected)
        assert "transfer-encoding" not in response.headers
    assert [outcome.keep_alive for outcome in talk.outcomes] == [True, True]


def test_a_304_without_content_does_not_say_that_the_content_is_empty(ask: Any) -> None:
    """RFC 9110, 8.6: its Content-Length would be that of the 200."""
    for content in ([], [b""], lambda: iter([])):
        assert "content-length" not in ask(answer(content, [("ETag", '"a"')], "304 Not Modified")).headers


# -- a declared length that is wrong


@pytest.mark.parametrize("make", [list, iter])
def test_content_shorter_than_declared_ends_the_connection(connect: Any, responses: Any, make: Any) -> None:
    talk = connect(answer(lambda: make([b"hel", b"lo"]), [("Content-Length", "10")]))
    talk.send(GET + GET)
    (response,) = responses(talk.read(), ["GET"])
    assert (response.body, response.whole) == (b"hello", False)
    assert "5 bytes less than its Content-Length" in talk.errors.getvalue()
    assert [outcome.keep_alive for outcome in talk.outcomes] == [False]


@pytest.mark.parametrize("make", [list, iter])
def test_content_longer_than_declared_is_cut_and_the_connection_stays_in_step(
    connect: Any, responses: Any, make: Any
) -> None:
    talk = connect(answer(lambda: make([b"hel", b"lo", b"!!!"]), [("Content-Length", "4")]))
    talk.send(GET + GET)
    talk.end()
    assert [each.body for each in responses(talk.read(), ["GET", "GET"])] == [b"hell", b"hell"]
    assert talk.errors.getvalue().count("more than its Content-Length") == 2


def test_an_endless_response_ends_at_its_declared_length(ask: Any) -> None:
    def endless() -> Any:
        while True:
            yield b"x" * 1000

    response = ask(answer(endless, [("Content-Length", "2500")]))
    assert response.body == b"x" * 2500


# -- what goes over the wire


def test_head_and_first_block_leave_in_one_packet(connect: Any) -> None:
    """Two sends cost a third of the throughput, and 40 ms with Nagle."""
    talk = connect(answer([b"hello"]))
    talk.send(GET)
    first = talk.client.recv(65536)
    assert first.endswith(b"hello")
    talk.close()


def test_each_block_is_sent_before_the_next_is_asked_for(connect: Any) -> None:
    import threading

    go_on = threading.Event()

    def slow() -> Any:
        yield b"first"
        assert go_on.wait(60)
        yield b"second"

    talk = connect(answer(slow))
    talk.send(GET)
    talk.read_some(b"first\r\n")
    go_on.set()
    assert talk.read_some(b"0\r\n\r\n")


@when_steady
def test_a_client_that_reads_slowly_gets_all(connect: Any) -> None:
    """Longer than the timeout altogether, but never without progress for so long."""
    size = 8_000_000
    talk = connect(answer([b"x" * size]), timeout=3)
    talk.send(GET + b"")
    received, stood_still = 0, 0.0
    while received < size:
        try:
            data = talk.client.recv(400_000)
        except ConnectionResetError:
            data = b""
        if not data and stood_still > 2:
            raise StoodStill
        assert data, f"cut after {received}"
        received += len(data)
        stood_still = max(stood_still, sleep_and_watch(0.2))
    talk.end()
    talk.close()
    assert talk.outcomes[0].sent == size


def test_a_client_that_does_not_read_is_given_up(connect: Any) -> None:
    closed = []

    class Blocks:
        def __iter__(self) -> Any:
            while True:
                yield b"x" * 1_000_000

        def close(self) -> None:
            closed.append(True)

    talk = connect(answer(Blocks), timeout=0.2)
    talk.send(GET)
    talk.thread.join(60)
    assert not talk.thread.is_alive()
    assert (talk.outcomes[0].abort, closed) == (True, [True])
    assert talk.errors.getvalue() == "", "a client's fault is no line in the error log"


def test_a_client_that_goes_away_is_no_fault_of_the_application(connect: Any) -> None:
    closed = []

    def endless() -> Any:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            closed.append(True)

    talk = connect(answer(endless))
    talk.send(GET)
    talk.client.recv(1000)
    talk.close()
    assert talk.outcomes[0].abort
    assert closed == [True]
    assert talk.errors.getvalue() == ""


def test_the_outcome_counts_content_and_remembers_the_status(connect: Any) -> None:
    talk = connect(answer(lambda: iter([b"abc", b"de"]), status="404 Not Found"))
    talk.send(GET)
    talk.end()
    talk.read()
    assert [tuple(outcome) for outcome in talk.outcomes] == [(True, 404, 5, False)]


def test_the_date_has_the_form_of_the_standard(ask: Any) -> None:
    date = ask(answer([b""])).headers["date"]
    assert re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z][a-z] \d{4} \d\d:\d\d:\d\d GMT", date)


def test_the_applications_own_date_and_server_win(ask: Any) -> None:
    own = [("date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("SERVER", "mine")]
    headers = ask(answer([b""], own)).headers
    assert (headers["date"], headers["server"]) == (own[0][1], "mine")
