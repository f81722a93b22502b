"""PEP 3333 through the real server, in each of its models: what a client sees of an application's deeds."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from worker_process import MODELS, WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

APPS = Path(__file__).parent / "apps"
CONTENT = bytes(range(256)) * 1024


class Worker(WorkerProcess):
    """A worker of one model that serves `apps/interface.py`."""

    def __init__(self, mpm: str) -> None:
        self.mpm = mpm
        size = ("--mpm", mpm, "--processes", "1", "--threads", "2", "--graceful-timeout", "2")
        super().__init__(*size, "--chdir", str(APPS), "interface:app")

    def ask(self, *streams: bytes) -> bytes:
        """Everything that comes back until the worker closes; `<reset>` when it cut."""
        received = b""
        self.await_idle()
        with self.connect() as client:
            try:
                client.sendall(b"".join(streams))
                client.shutdown(socket.SHUT_WR)
                while data := client.recv(1 << 20):
                    received += data
            except OSError:
                received += b"<reset>"
        return received

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.ask(get("/facts")).partition(b"\r\n\r\n")[2])
        return facts


@pytest.fixture(scope="module", params=MODELS)
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    running = Worker(request.param)
    yield running
    running.end()


def get(target: str, method: str = "GET", version: str = "1.1", fields: bytes = b"") -> bytes:
    return f"{method} {target} HTTP/{version}\r\nHost: a\r\n".encode() + fields + b"\r\n"


POST = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"


@pytest.mark.parametrize(
    "stream",
    [
        POST + b"Content-Length: 11\r\n\r\nline\nrest123",
        POST + b"Transfer-Encoding: chunked\r\n\r\n7\r\nline\nre\r\n4\r\nst12\r\n0\r\nX: y\r\n\r\n",
        POST + b"Content-Length: 0\r\n\r\n",
    ],
)
def test_the_validator_finds_no_fault(worker: Worker, stream: bytes) -> None:
    received = worker.ask(stream, stream)
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.count(b"written ") == 2
    assert not any("Assertion" in line for line in worker.said), worker.said


def test_threads_and_processes_are_as_they_are(worker: Worker) -> None:
    """Whether the same application may be called by another thread, or another process, at the same time."""
    facts = worker.facts()
    alone = worker.mpm == "prefork"
    assert (facts["wsgi.multithread"], facts["wsgi.multiprocess"]) == (not alone, alone)
    assert (facts["wsgi.run_once"], facts["wsgi.version"], facts["wsgi.url_scheme"]) == (
        False,
        [1, 0],
        "http",
    )


def test_an_exception_in_the_middle_is_seen_and_close_called_once(worker: Worker) -> None:
    before = worker.facts()["closed"]
    received = worker.ask(get("/broken"), get("/facts"))
    assert b"begun" in received
    assert b"0\r\n\r\n" not in received
    assert received.count(b"HTTP/1.1") == 1
    assert worker.ask(get("/broken", version="1.0")).endswith((b"begun<reset>", b"<reset>"))
    assert worker.facts()["closed"] == before + 2


def test_exc_info_replaces_the_head_until_it_is_sent(worker: Worker) -> None:
    received = worker.ask(get("/replaced"))
    assert received.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert b"Old" not in received
    received = worker.ask(get("/late"))
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"never" not in received
    assert not received.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    "query",
    [
        "X=aCRLFSet-Cookie:b",
        "XCRLFY=a",
        "Connection=close",
        "Transfer-Encoding=chunked",
        "Upgrade=x",
        "X%20Y=a",
        "=a",
    ],
)
def test_a_head_that_would_break_the_framing_is_a_500(worker: Worker, query: str) -> None:
    received = worker.ask(get(f"/head?{query}"))
    assert received.startswith(b"HTTP/1.1 500 ")
    assert b"Set-Cookie" not in received


@pytest.mark.parametrize("status", ["100_Continue", "101_Switching", "199_x", "20_OK", "abc", "", "1000_x"])
def test_a_status_that_ends_no_exchange_is_a_500(worker: Worker, status: str) -> None:
    assert worker.ask(get(f"/status?{status}")).startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize("status", ["204_No_Content", "304_Not_Modified"])
def test_no_content_where_none_belongs(worker: Worker, status: str) -> None:
    received = worker.ask(get(f"/status?{status}"), get("/status?200_OK", "HEAD"), get("/status?200_OK"))
    assert received.count(b"HTTP/1.1 ") == 3
    assert received.count(b"content") == 1
    assert received.endswith(b"content")


@pytest.mark.parametrize("kind", ["list", "iterator"])
def test_a_length_that_does_not_hold(worker: Worker, kind: str) -> None:
    short = worker.ask(get(f"/length?9={kind}"), get("/facts"))
    assert short.endswith(b"12345")
    assert short.count(b"HTTP/1.1") == 1, "the connection must end: the client still waits for 4 bytes"
    long = worker.ask(get(f"/length?3={kind}"), get(f"/length?5={kind}"))
    first, second = long.split(b"HTTP/1.1 ")[1:]
    assert (first.endswith(b"\r\n\r\n123"), second.endswith(b"\r\n\r\n12345")) == (True, True)


def test_a_file_is_sent_from_where_it_stands(worker: Worker) -> None:
    head, _, body = worker.ask(get("/file", fields=b"Connection: close\r\n")).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(CONTENT) - 1000}".encode() in head
    assert body == CONTENT[1000:]


def test_many_fields_and_letters_beyond_ascii_pass_both_ways(worker: Worker) -> None:
    name = "na\xefve \xfe\xff".encode("latin-1") * 500
    received = worker.ask(get("/wide?3000", fields=b"X-Name: " + name + b"\r\n"))
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.count(b"\r\nX-Field-") == 3000
    assert head.count("caf\xe9".encode("latin-1")) == 3000 * 20
    assert body == name


@pytest.mark.parametrize("how", ["write", "iterate"])
def test_an_application_that_writes_for_ever_ends_with_its_client(worker: Worker, how: str) -> None:
    """As often as there are slots, and some more: none is lost."""
    before = worker.facts()["closed"]
    for _ in range(4):
        with worker.connect() as client:
            client.sendall(get(f"/forever?{how}"))
            assert client.recv(65536)
    for _ in range(1000):
        closed = worker.facts()["closed"]
        if how == "write" or closed == before + 4:
            break
        time.sleep(0.05)
    assert closed == before + (4 if how == "iterate" else 0)
