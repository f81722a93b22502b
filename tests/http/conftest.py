"""The corpora of this folder as parameters, and a reader that turns a stream into a list of events."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from mpm_worker.http import Connection, Limits, ProtocolError

DEFAULT = Limits()
HERE = Path(__file__).parent
CHUNKED = b"POST /broken HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def corpus(name: str) -> list[dict[str, Any]]:
    return tomllib.loads((HERE / f"{name}.toml").read_text())["case"]


def refused() -> list[tuple[bytes, int, str]]:
    return [
        (stream.encode("latin-1"), case["status"], case["rule"])
        for case in corpus("refused")
        for stream in case["streams"]
    ]


def broken_bodies() -> list[tuple[bytes, int, str]]:
    return [
        (CHUNKED + stream.encode("latin-1"), case["status"], case["rule"])
        for case in corpus("broken_bodies")
        for stream in case["streams"]
    ]


def bad_chunks() -> list[tuple[bytes, int, str]]:
    """The broken bodies that no further bytes can mend."""
    return [case for case in broken_bodies() if "ended inside" not in case[2]]


def streams() -> list[bytes]:
    """Every stream of every corpus."""
    accepted = [case["stream"].encode("latin-1") for case in corpus("accepted")]
    return accepted + [stream for stream, _, _ in refused() + broken_bodies()]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name, values in (("refusal", refused), ("broken_body", broken_bodies), ("bad_chunks", bad_chunks)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, values(), ids=lambda case: f"{case[2]}: {case[0][-40:]!r}")
    if "accepted" in metafunc.fixturenames:
        metafunc.parametrize("accepted", corpus("accepted"), ids=lambda case: repr(case["stream"][:60]))


def read_events(pieces: list[bytes], limits: Limits) -> list[tuple[Any, ...]]:
    """What comes out of a connection that gets `pieces` and then the end: requests with bodies, errors."""
    connection = Connection(limits)
    events: list[tuple[Any, ...]] = []
    head: tuple[Any, ...] | None = None
    body = b""
    for piece in [*pieces, b""]:
        connection.receive(piece)
        try:
            while True:
                if head is None:
                    request = connection.next_request()
                    if request is None:
                        break
                    head = (
                        request.method,
                        request.target,
                        request.path,
                        request.query,
                        request.version,
                        request.keep_alive,
                        request.expect_continue,
                        tuple(sorted(request.cgi.items())),
                    )
                part = connection.read_body(7)
                if part is None:
                    break
                body += part
                if connection.body_done:
                    events.append(("request", *head, body))
                    head, body = None, b""
        except ProtocolError as error:
            events.append(("error", head, error.status, error.rule))
            break
    return events


@pytest.fixture(scope="session")
def all_streams() -> list[bytes]:
    return streams()


@pytest.fixture(scope="session")
def events() -> Any:
    return lambda pieces, limits=DEFAULT: read_events(pieces, limits)


@pytest.fixture(scope="session")
def refusals() -> list[tuple[bytes, int, str]]:
    return refused()


@pytest.fixture(scope="session", name="broken_bodies")
def all_broken_bodies() -> list[tuple[bytes, int, str]]:
    return broken_bodies()


@pytest.fixture(scope="session")
def good_requests() -> list[dict[str, Any]]:
    return corpus("accepted")
