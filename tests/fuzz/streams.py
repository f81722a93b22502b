"""The corpora of requests, good and bad, and a reader that turns a stream into a list of events."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpm_worker.http import Connection, Limits, ProtocolError

if TYPE_CHECKING:
    import random

DEFAULT = Limits()
HERE = Path(__file__).parents[1] / "http"
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


PIECES = [
    *(
        b"\r\n",
        b"\r",
        b"\n",
        b" ",
        b"\t",
        b":",
        b";",
        b",",
        b"\0",
        b"\x0b",
        b"0",
        b"1",
        b"/",
        b"?",
        b"%",
        b"#",
        b'"',
    ),
    *(b"\r\n\r\n", b"Host: b\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"abc", b"_"),
    *(b"HTTP/1.1", b"HTTP/1.0", b"chunked", b"close", b"keep-alive", b"-"),
]


def mutated(generator: random.Random, streams: list[bytes]) -> bytes:
    """One or two streams with some of their bytes replaced by pieces of the grammar or by any byte."""
    stream = bytearray(b"".join(generator.sample(streams, generator.choice((1, 1, 2)))))
    for _ in range(generator.randint(1, 4)):
        place = generator.randrange(len(stream) + 1)
        piece = generator.choice(PIECES) if generator.random() < 0.8 else generator.randbytes(1)
        stream[place : place + generator.choice((0, 0, 1, 1, 2, 5))] = piece
    return bytes(stream)
