"""The corpora against the real server, in each of its models: what a client sees on the wire."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from worker_process import MODELS, WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

CUTS = ["one piece", "single bytes"]


@pytest.fixture(scope="module", params=MODELS)
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """A worker of one model, serving `apps/tell.py`."""
    size = ("--mpm", request.param, "--processes", "4", "--threads", "4", "--graceful-timeout", "2")
    worker = WorkerProcess(*size, "--chdir", str(Path(__file__).parent / "apps"), "tell:application")
    yield worker.port
    worker.end()


def talk(port: int, stream: bytes, cut: str, end: bool) -> bytes:
    """What the server says to `stream` before it closes; `end` = the client closes its side first."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for at in range(0, len(stream), len(stream) if cut == "one piece" else 1):
                client.sendall(stream[at : at + (len(stream) if cut == "one piece" else 1)])
            if end:
                client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server has answered already and reads no more
        received = b""
        while data := client.recv(65536):
            received += data
    return received


@pytest.mark.parametrize("cut", CUTS)
def test_bad_requests_are_answered_by_their_rule_and_the_connection_closes(
    port: int, cut: str, refusals: list[tuple[bytes, int, str]]
) -> None:
    wrong = {}
    for stream, status, rule in refusals:
        answer = talk(port, stream, cut, end=False)
        named = rule.encode() in answer or stream.startswith(b"HEAD ")
        alone = answer.count(b"\r\nDate: ") == 1
        if not (answer.startswith(b"HTTP/1.1 %d " % status) and named and alone):
            wrong[stream] = answer
    assert wrong == {}


@pytest.mark.parametrize("cut", CUTS)
def test_broken_bodies_are_answered_by_their_rule_and_the_connection_closes(
    port: int, cut: str, broken_bodies: list[tuple[bytes, int, str]]
) -> None:
    wrong = {}
    for stream, status, rule in broken_bodies:
        answer = talk(port, stream, cut, end="ended inside" in rule)
        if not answer.startswith(b"HTTP/1.1 %d " % status) or rule.encode() not in answer:
            wrong[stream] = answer
    assert wrong == {}


def test_the_answer_to_a_head_has_no_content_whatever_its_body_breaks(
    port: int, broken_bodies: list[tuple[bytes, int, str]]
) -> None:
    wrong = {}
    for posted, status, rule in broken_bodies:
        stream = b"HEAD " + posted.removeprefix(b"POST ")
        answer = talk(port, stream, "one piece", end="ended inside" in rule)
        if not answer.startswith(b"HTTP/1.1 %d " % status) or not answer.endswith(b"\r\n\r\n"):
            wrong[stream] = answer
    assert wrong == {}


@pytest.mark.parametrize("cut", CUTS)
def test_good_requests_reach_the_application_as_they_were_meant(
    port: int, cut: str, good_requests: list[dict[str, Any]]
) -> None:
    wrong = {}
    for case in good_requests:
        answer = talk(port, case["stream"].encode("latin-1"), cut, end=True)
        head, _, content = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
        expected = [
            case.get("method", "GET"),
            case.get("path", "/"),
            case.get("query", ""),
            case.get("body", ""),
        ]
        told: dict[str, Any] = {}
        if head.startswith(b"HTTP/1.1 200 ") and expected[0] != "HEAD":
            told, _ = json.JSONDecoder().raw_decode(content.decode())
            same = [told["method"], told["path"], told["query"], told["body"]] == expected
        else:
            same = expected[0] == "HEAD" and not content
        fields = all(told["cgi"][name] == value for name, value in case.get("cgi", {}).items())
        if not same or not fields or (b"\r\nConnection: close" in head) is case.get("keep_alive", True):
            wrong[case["stream"]] = answer
    assert wrong == {}
