"""start_response, write and the life of the iterable (PEP 3333)."""

from __future__ import annotations

import sys
from typing import Any

import pytest

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
Start = Any
Environ = dict[str, Any]


def test_write_sends_before_the_iterable(ask: Any) -> None:
    def app(environ: Environ, start_response: Start) -> Any:
        write = start_response("200 OK", [])
        write(b"a")
        write(b"")
        write(b"b")
        return [b"c", b"d"]

    assert ask(app).body == b"abcd"


def test_write_with_a_declared_length(ask: Any) -> None:
    def app(environ: Environ, start_response: Start) -> Any:
        start_response("200 OK", [("Content-Length", "4")])(b"abc")
        return [b"d"]

    response = ask(app)
    assert (response.body, response.headers["content-length"]) == (b"abcd", "4")


def test_write_past_a_declared_length_is_an_error_for_the_application(connect: Any, responses: Any) -> None:
    """PEP 3333: else an application that writes for ever would never hear of it."""
    raised = []

    def app(environ: Environ, start_response: Start) -> Any:
        write = start_response("200 OK", [("Content-Length", "4")])
        while True:
            try:
                write(b"abc")
            except ValueError as error:
                raised.append(str(error))
                raise

    talk = connect(app)
    talk.send(GET)
    talk.end()
    (response,) = responses(talk.read(), ["GET"])
    assert (response.body, response.whole) == (b"abca", True)
    assert raised == ["write() was called past the Content-Length of the response (PEP 3333)"]
    assert "past the Content-Length" in talk.errors.getvalue()


def test_a_head_swallows_what_is_written(ask: Any) -> None:
    def app(environ: Environ, start_response: Start) -> Any:
        write = start_response("200 OK", [("Content-Length", "2")])
        for _ in range(5):
            write(b"a")
        return []

    response = ask(app, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (response.status, response.body, response.headers["content-length"]) == (200, b"", "2")


def test_start_response_may_wait_for_the_first_block(ask: Any) -> None:
    def app(environ: Environ, start_response: Start) -> Any:
        start_response("201 Created", [("X", "y")])
        yield b"a"
        yield b"b"

    response = ask(app)
    assert (response.status, response.body, response.headers["x"]) == (201, b"ab", "y")


def test_nothing_is_sent_before_the_first_block_with_bytes(ask: Any) -> None:
    """Until then the response can still be replaced."""

    def app(environ: Environ, start_response: Start) -> Any:
        start_response("200 OK", [("Old", "y"), ("Content-Type", "text/old"), ("Content-Length", "9")])
        yield b""
        try:
            raise LookupError
        except LookupError:
            start_response("404 Not Found", [("Content-Type", "text/new")], sys.exc_info())
        yield b"missing"

    response = ask(app)
    assert (response.status, response.body) == (404, b"missing")
    assert response.headers["content-type"] == "text/new"
    assert "old" not in response.headers
    assert "content-length" not in response.headers


def test_exc_info_after_the_head_raises_what_it_holds(connect: Any) -> None:
    raised = []

    def app(environ: Environ, start_response: Start) -> Any:
        start_response("200 OK", [])
        yield b"begun"
        try:
            raise LookupError("the cause")
        except LookupError:
            try:
                start_response("500 Oops", [], sys.exc_info())
            except LookupError as error:
                raised.append(error)
                raise

    talk = connect(app)
    talk.send(GET)
    received = talk.read()
    assert [str(error) for error in raised] == ["the cause"]
    assert b"begun" in received
    assert not received.endswith(b"0\r\n\r\n"), "the end of the message would be a lie"


def test_a_second_start_response_without_exc_info_is_an_error(connect: Any) -> None:
    def app(environ: Environ, start_response: Start) -> Any:
        start_response("200 OK", [])
        start_response("200 OK", [])
        return [b"never"]

    talk = connect(app)
    talk.send(GET)
    assert talk.read().startswith(b"HTTP/1.1 500 ")
    assert "again without exc_info" in talk.errors.getvalue()


@pytest.mark.parametrize(
    ("app", "complaint"),
    [
        (lambda environ, start_response: [b"body"], "before it called start_response"),
        (lambda environ, start_response: iter([b"body"]), "before it called start_response"),
        (lambda environ, start_response: [], "before it called start_response"),
        (lambda environ, start_response: iter([]), "before it called start_response"),
        (lambda environ, start_response: start_response("200 OK", []) and ["text"], "str"),
        (
            lambda environ, start_response: start_response("200 OK", []) and iter(["text"]),
            "yielded str, not bytes",
        ),
        (
            lambda environ, start_response: start_response("200 OK", []) and iter([b"", None]),
            "NoneType, not bytes",
        ),
        (lambda environ, start_response: start_response("200 OK", []) and None, "NoneType"),
        (lambda environ, start_response: start_response("200 OK", []) and "text", "yielded str, not bytes"),
        (
            lambda environ, start_response: start_response("200 OK", [])("text"),
            "write() takes bytes, not str",
        ),
        (lambda environ, start_response: 1 / 0, "ZeroDivisionError"),
        (lambda environ, start_response: sys.exit(3), "SystemExit"),
        (lambda environ: None, "TypeError"),
    ],
)
def test_an_application_that_breaks_the_interface_gives_a_500_and_a_trace(
    connect: Any, responses: Any, app: Any, complaint: str
) -> None:
    talk = connect(app)
    talk.send(GET)
    (response,) = responses(talk.read(), ["GET"])
    assert (response.status, response.headers["connection"]) == (500, "close")
    assert complaint in talk.errors.getvalue()
    assert "Traceback" in talk.errors.getvalue()
    assert complaint.encode() not in response.body, "the client learns nothing of the inside"


@pytest.mark.parametrize(
    ("status", "headers", "complaint"),
    [
        ("200", [], "status must be like"),
        ("200OK", [], "status must be like"),
        ("OK", [], "status must be like"),
        ("100 Continue", [], "not below 200"),
        ("101 Switching Protocols", [], "not below 200"),
        ("2000 OK", [], "status must be like"),
        ("200 OK\r\nX: y", [], "status must be like"),
        ("200 OK\0", [], "status must be like"),
        (200, [], "status must be like"),
        (b"200 OK", [], "status must be like"),
        ("200 \u20ac", [], "status must be like"),
        ("200 OK", (("X", "y"),), "must be a list"),
        ("200 OK", {"X": "y"}, "must be a list"),
        ("200 OK", [("X", "a\r\nSet-Cookie: b")], "control character"),
        ("200 OK", [("X", "a\nb")], "control character"),
        ("200 OK", [("X", "a\rb")], "control character"),
        ("200 OK", [("X", "a\0b")], "control character"),
        ("200 OK", [("X", "a\r\n")], "control character"),
        ("200 OK", [("X", "a\x01b")], "control character"),
        ("200 OK", [("X", "a\x0bb")], "control character"),
        ("200 OK", [("X", "\x1f")], "control character"),
        ("200 OK", [("X", "a\x7f")], "control character"),
        ("200 OK\x01", [], "status must be like"),
        ("200 OK", [("Content-Length", "5\r\nX: y")], "row of digits"),
        ("200 OK", [("X\r\nY", "a")], "not a header name"),
        ("200 OK", [("X: y\r\nZ", "a")], "not a header name"),
        ("200 OK", [("X Y", "a")], "not a header name"),
        ("200 OK", [("X:", "a")], "not a header name"),
        ("200 OK", [("", "a")], "not a header name"),
        ("200 OK", [(b"X", "a")], "not a header name"),
        ("200 OK", [("X", b"a")], "must be str, not bytes"),
        ("200 OK", [("X", 5)], "must be str, not int"),
        ("200 OK", [("X", None)], "must be str, not NoneType"),
        ("200 OK", [("X", "\u20ac")], "latin-1"),
        ("200 OK", [("Content-Length", "-1")], "row of digits"),
        ("200 OK", [("Content-Length", "1, 1")], "row of digits"),
        ("200 OK", [("Content-Length", "\u0665")], "row of digits"),
        ("200 OK", [("Content-Length", "5"), ("content-length", "5")], "more than one Content-Length"),
        *(
            ("200 OK", [(name, "x")], "belongs to the connection")
            for name in (
                "Connection",
                "keep-alive",
                "Transfer-Encoding",
                "TE",
                "Trailer",
                "UPGRADE",
                "Proxy-Connection",
            )
        ),
    ],
)
def test_a_head_that_cannot_be_sent_is_refused_in_start_response(
    connect: Any, responses: Any, status: Any, headers: Any, complaint: str
) -> None:
    reached = []

    def app(environ: Environ, start_response: Start) -> Any:
        start_response(status, headers)
        reached.append("after start_response")
        return [b"hello"]

    talk = connect(app)
    talk.send(GET)
    received = talk.read()
    (response,) = responses(received, ["GET"])
    assert response.status == 500
    assert complaint in talk.errors.getvalue()
    assert reached == []
    assert b"Set-Cookie" not in received


def test_latin_1_and_tabs_are_sent_as_they_are(ask: Any) -> None:
    def app(environ: Environ, start_response: Start) -> Any:
        start_response("200 Tr\xe8s bien", [("X", "caf\xe9\tau lait")])
        return []

    response = ask(app)
    assert (response.reason, response.headers["x"]) == (
        "Tr\xe8s bien",
        "caf\xe9\tau lait",
    )


def test_a_repeated_header_of_the_application_is_sent_repeatedly(connect: Any) -> None:
    def app(environ: Environ, start_response: Start) -> Any:
        start_response("200 OK", [("Set-Cookie", "a=b"), ("Set-Cookie", "c=d")])
        return []

    talk = connect(app)
    talk.send(GET)
    talk.end()
    assert b"\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n" in talk.read()


class Tracked:
    """An iterable that remembers how far it came."""

    def __init__(self, blocks: list[Any]) -> None:
        self.blocks = blocks
        self.closed = 0

    def __iter__(self) -> Any:
        for block in self.blocks:
            if isinstance(block, Exception):
                raise block
            yield block

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("stream", [GET, GET.replace(b"GET", b"HEAD"), b"GET / HTTP/1.0\r\n\r\n"])
@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [b"a", b"b"],
        [b"a", ValueError("in the middle")],
        [ValueError("at once")],
        [b"a", "text"],
        [b"too long" * 9],
    ],
)
def test_the_iterable_is_closed_once_whatever_happens(connect: Any, stream: bytes, blocks: list[Any]) -> None:
    made = Tracked(blocks)

    def app(environ: Environ, start_response: Start) -> Any:
        start_response("200 OK", [("Content-Length", "9")] if len(blocks) == 1 else [])
        return made

    talk = connect(app)
    talk.send(stream)
    talk.end()
    talk.read()
    assert made.closed == 1


def test_close_is_called_after_the_end_of_the_response(connect: Any) -> None:
    import threading

    seen = threading.Event()

    class Late(Tracked):
        def close(self) -> None:
            assert seen.wait(60), "the client saw no end before close()"
            super().close()

    made = Late([b"a", b"b"])

    def app(environ: Environ, start_response: Start) -> Any:
        start_response("200 OK", [])
        return made

    talk = connect(app)
    talk.send(GET)
    talk.read_some(b"0\r\n\r\n")
    seen.set()
    talk.end()
    talk.close()
    assert made.closed == 1
    assert talk.errors.getvalue() == ""


def test_a_close_that_fails_is_logged_and_changes_nothing(connect: Any, responses: Any) -> None:
    class Bad(Tracked):
        def close(self) -> None:
            raise RuntimeError("close failed here")

    def app(environ: Environ, start_response: Start) -> Any:
        start_response("200 OK", [])
        return Bad([b"a"])

    talk = connect(app)
    talk.send(GET + GET)
    talk.end()
    assert [each.body for each in responses(talk.read(), ["GET", "GET"])] == [b"a", b"a"]
    assert talk.errors.getvalue().count("RuntimeError: close failed here") == 2


# -- an exception after the head has gone


def broken(headers: list[tuple[str, str]]) -> Any:
    def app(environ: Environ, start_response: Start) -> Any:
        start_response("200 OK", headers)
        yield b"begun"
        raise RuntimeError("in the middle")

    return app


@pytest.mark.parametrize(
    ("stream", "headers"),
    [
        (GET, []),
        (GET, [("Content-Length", "10")]),
        (b"GET / HTTP/1.0\r\n\r\n", []),
        (b"GET / HTTP/1.0\r\n\r\n", [("Content-Length", "10")]),
    ],
)
def test_the_client_can_tell_that_a_response_broke_off(
    connect: Any, responses: Any, stream: bytes, headers: list[tuple[str, str]]
) -> None:
    """No last chunk; fewer bytes than declared; a reset where only the end of the connection could tell."""
    talk = connect(broken(headers))
    talk.send(stream + stream)
    received = talk.read()
    if stream == GET or headers:
        (response,) = responses(received, ["GET"])
        assert (response.body, response.whole) == (b"begun", False)
    else:
        assert received.endswith(b"begun<reset>") or received == b"<reset>"
        assert talk.outcomes[0].abort
    assert "in the middle" in talk.errors.getvalue()
    assert len(talk.outcomes) == 1


def test_an_exception_before_the_first_block_is_a_clean_500(ask: Any) -> None:
    def app(environ: Environ, start_response: Start) -> Any:
        start_response("200 OK", [("Content-Length", "10")])
        yield b""
        raise RuntimeError

    assert ask(app).status == 500


def test_the_answer_to_a_head_whose_application_fails_has_no_content(connect: Any, responses: Any) -> None:
    talk = connect(lambda environ, start_response: 1 / 0)
    talk.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    received = talk.read()
    assert received.startswith(b"HTTP/1.1 500 ")
    assert received.endswith(b"\r\n\r\n")
