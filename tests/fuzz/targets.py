"""What the fuzzers call: whatever the bytes, nothing breaks and every judge agrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from against_h11 import disagreement
from streams import DEFAULT, read_events
from twins import Answer, differences, pure

if TYPE_CHECKING:
    import random

_NAMES = ("Content-Type", "Content-Length", "X-A", "x-a", "Date", "Server", "Connection", "bad name", "", "Ä")
_VALUES = ("text/plain", "0", "3", "003", "-1", "4 ", "", "a\rb", "a\nb", "a\0b", "é", "☃", "x" * 3000)
_STATUSES = (
    "200 OK",
    "204 No Content",
    "304 Not Modified",
    "205 X",
    "404 Not Found",
    "500 Oh",
    "200",
    "100 C",
    "2 \n",
)
_REQUESTS = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /x?y=%20 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /%41 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
)


def requests(stream: bytes) -> None:
    """A stream from a client: read whole, cut, by the other twin, and by h11."""
    whole = read_events([stream], DEFAULT)
    place = len(stream) and sum(stream) % len(stream)
    assert read_events([stream[:place], stream[place:]], DEFAULT) == whole, (stream, place)
    with pure():
        assert read_events([stream], DEFAULT) == whole, stream
    assert (what := disagreement(stream, whole)) is None, (stream, what)


def answers(generator: random.Random) -> None:
    """An application that does anything with its response: both twins send the same."""
    headers = [
        (
            generator.choice(_NAMES[: generator.choice((3, 4, 10))]),
            generator.choice(_VALUES[: generator.choice((1, 3, 13))]),
        )
        for _ in range(generator.choice((0, 1, 1, 2, 3)))
    ]
    blocks: object = generator.choice(
        ([b"abc"], [], [b""], [b"ab", b"c"], (b"abc",), ["abc"], [b"y" * 70000], iter([b"abc"]))
    )
    if not isinstance(blocks, list | tuple):
        blocks = Again([b"abc"])
    answer = Answer(
        generator.choice(_STATUSES[: generator.choice((1, 6, 9))]),
        generator.choice((headers, headers, headers, tuple(headers), [list(pair) for pair in headers])),
        blocks,
        generator.random() < 0.8,
    )
    request = generator.choice(_REQUESTS)
    assert (what := differences(request, answer)) is None, (request, answer, what)


class Again:
    """An iterable, no list, that gives the same at each turn."""

    def __init__(self, blocks: list[bytes]) -> None:
        self._blocks = blocks

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._blocks)
