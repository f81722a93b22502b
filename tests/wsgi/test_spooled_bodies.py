"""Chunked bodies are read whole before the application runs: it gets their length, memory does not grow."""

from __future__ import annotations

import errno
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpm_worker.http import Connection
from mpm_worker.wsgi import Spool, SpoolError, Spooling

if TYPE_CHECKING:
    from pathlib import Path

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


def chunked(body: bytes, size: int = 1000) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


class Teller:
    """An application that remembers what it saw."""

    def __init__(self) -> None:
        self.calls = 0
        self.inputs: list[Any] = []
        self.bodies: list[bytes] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.calls += 1
        self.inputs.append(environ["wsgi.input"])
        # As Django and Falcon do: no more than CONTENT_LENGTH.
        self.bodies.append(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        start_response("200 OK", [])
        seen = (environ.get("CONTENT_LENGTH"), environ.get("HTTP_TRANSFER_ENCODING"))
        return [repr(seen).encode()]


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 200_000])
def test_a_chunked_body_has_a_length_for_the_application(connect: Any, responses: Any, size: int) -> None:
    body = os.urandom(size)
    app = Teller()
    talk = connect(app, threshold=1000)
    threading.Thread(target=talk.send, args=(chunked(body) * 2 + NEXT,), daemon=True).start()
    received = b""
    while received.count(b"\r\n\r\n(") < 3:
        received += talk.client.recv(65536)
    told = [each.body.decode() for each in responses(received, ["POST", "POST", "GET"])]
    assert told == [repr((str(size), None))] * 2 + [repr((None, None))]
    assert app.bodies == [body, body, b""]


def test_a_long_body_is_a_file_without_a_name_and_a_short_one_is_not(connect: Any, tmp_path: Path) -> None:
    app = Teller()
    talk = connect(app, threshold=1000, folder=str(tmp_path))
    talk.send(chunked(b"x" * 1000) + chunked(b"x" * 1001))
    talk.end()
    talk.read()
    short, long = app.inputs
    assert not hasattr(short, "raw")
    assert long.raw.closed, "the file ends with its request"
    assert list(tmp_path.iterdir()) == []


def test_a_spooled_body_reads_like_a_file(ask: Any) -> None:
    lines = b"one\ntwo\n\nfour without end"

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"]
        told = (body.readline(), next(body), body.read(2), body.readlines(), body.read(), body.read(1))
        start_response("200 OK", [])
        return [repr(told).encode()]

    for threshold in (0, 1000):
        assert (
            ask(app, chunked(lines, 3), threshold=threshold).body
            == repr((b"one\n", b"two\n", b"\nf", [b"our without end"], b"", b"")).encode()
        )


@pytest.mark.parametrize("stream", [b"5\r\nabc", b"3\r\nabc\r\nzz\r\n", b"3\r\nabcd\r\n0\r\n\r\n"])
def test_a_broken_chunked_body_never_reaches_the_application(
    connect: Any, responses: Any, stream: bytes
) -> None:
    """Not even as an error: Django and others would take a body without length for an empty one."""
    app = Teller()
    talk = connect(app)
    talk.send(CHUNKED + stream)
    talk.end()
    (response,) = responses(talk.read(), ["POST"])
    assert (response.status, response.headers["connection"]) == (400, "close")
    assert app.calls == 0
    assert talk.errors.getvalue() == ""


INVITING = CHUNKED.replace(b"Host: a", b"Host: a\r\nExpect: 100-continue")


def test_a_chunked_body_that_expects_100_is_invited_by_who_reads_it(connect: Any) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [body + b" of " + environ.get("CONTENT_LENGTH", "no length").encode()]

    talk = connect(app)
    talk.send(INVITING)
    assert talk.read_some(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    talk.send(b"4\r\nbody\r\n0\r\n\r\n")
    talk.read_some(b"body of no length")


def test_a_chunked_body_that_nobody_reads_is_not_invited(connect: Any) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("403 Forbidden", [("Content-Length", "2")])
        return [b"no"]

    talk = connect(app)
    talk.send(INVITING)
    assert talk.read_some(b"no").startswith(b"HTTP/1.1 403 ")


def test_a_body_of_known_length_stays_lazy(connect: Any) -> None:
    started = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        started.set()
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    talk = connect(app)
    talk.send(PLAIN % 4)
    assert started.wait(60)
    talk.send(b"body")
    talk.read_some(b"body")


# -- what cannot be stored


def test_a_folder_without_room_is_a_507_and_a_line_in_the_log(
    connect: Any, responses: Any, tmp_path: Path
) -> None:
    app = Teller()
    talk = connect(app, threshold=10, folder=str(tmp_path / "missing"))
    talk.send(chunked(b"x" * 11))
    (response,) = responses(talk.read(), ["POST"])
    assert (response.status, response.reason) == (507, "Insufficient Storage")
    assert str(tmp_path) not in response.body.decode()
    assert str(tmp_path / "missing") in talk.errors.getvalue()
    assert "--spool-dir" in talk.errors.getvalue()
    assert "Traceback" not in talk.errors.getvalue()
    assert app.calls == 0


def test_a_full_disk_costs_only_the_bodies_that_need_it(connect: Any, responses: Any) -> None:
    """/dev/full takes an open and no byte."""
    app = Teller()
    spool = Spool(Spooling(threshold=4, folder="/dev"))
    assert spool.in_memory
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mpm_worker.wsgi.spool._nameless", lambda folder: os.open("/dev/full", os.O_RDWR))
        with pytest.raises(SpoolError, match="No space left on device") as caught:
            spool.add(b"five!")
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.ENOSPC
        talk = connect(app, threshold=4)
        talk.send(chunked(b"1234") + chunked(b"12345") + NEXT)
        good, bad = responses(talk.read(), ["POST", "POST"])
    assert (good.status, bad.status, app.bodies) == (200, 507, [b"1234"])


def test_a_file_system_without_nameless_files_gets_one_that_is_unlinked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def without(path: Any, flags: int, mode: int = 0o777, **rest: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no such flag here")
        return real(path, flags, mode, **rest)

    monkeypatch.setattr(os, "open", without)
    spool = Spool(Spooling(threshold=0, folder=str(tmp_path)))
    spool.add(b"content")
    assert list(tmp_path.iterdir()) == []
    assert spool.open().read() == b"content"
    spool.close()


@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(0, 100))
def test_what_went_in_comes_out(pieces: list[bytes], threshold: int) -> None:
    spool = Spool(Spooling(threshold=threshold))
    for piece in pieces:
        spool.add(piece)
    whole = b"".join(pieces)
    assert spool.open().read() == whole
    assert spool.size == len(whole)
    assert spool.in_memory == (len(whole) <= threshold)
    spool.close()


@given(st.binary(max_size=300), st.integers(0, 300), st.integers(1, 50))
def test_a_body_begun_in_a_spool_goes_on_from_the_connection(body: bytes, cut: int, most: int) -> None:
    """What the event loop hands over: a part in the spool, the rest still to come."""
    from mpm_worker.wsgi.body import BodyStream

    connection = Connection()
    connection.receive(PLAIN % len(body) + body[:cut])
    assert connection.next_request() is not None
    spool = Spool(Spooling(threshold=10))
    done = spool.fill(connection)
    assert done == (cut >= len(body))
    connection.receive(body[cut:] or b"")
    if done:
        assert spool.open().read() == body
    else:
        stream = BodyStream(None, connection, 1.0, None, spool.open())  # type: ignore[arg-type]
        assert b"".join(iter(lambda: stream.take(most), b"")) == body
    spool.close()


def test_a_body_that_pauses_is_a_408_before_the_application_runs(connect: Any, responses: Any) -> None:
    app = Teller()
    talk = connect(app, timeout=0.2)
    talk.send(CHUNKED + b"5\r\nabc")
    started = time.monotonic()
    (response,) = responses(talk.read(), ["POST"])
    assert (response.status, app.calls) == (408, 0)
    assert time.monotonic() - started < 60
