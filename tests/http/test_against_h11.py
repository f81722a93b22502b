"""What h11, an independent reader, makes of the same bytes: each difference has its reason here."""

from __future__ import annotations

import os
import random
import re
import time
from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

Event = tuple[Any, ...]

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

# Where this server refuses what h11 takes: words of our rule, and why we are the stricter one.
STRICTER = {
    "Host is not": "h11 does not look into Host",
    "authority of the target": "h11 does not look into the target",
    "must begin with '/'": "h11 does not look into the target",
    "OPTIONS only": "h11 does not look into the target",
    "http or https": "h11 does not look into the target",
    "fragment": "h11 does not look into the target",
    "two hexadecimal digits": "h11 does not look into the target",
    "%00": "h11 does not look into the target",
    "case-sensitive": "h11 passes any token; a method in small letters is a mistake or a probe",
    "CONNECT": "h11 serves proxies too",
    "is not served here": "h11 leaves the version to its user, who must answer 505",
    "without Host": "h11 asks for Host in 1.1 only, not in a higher minor version, which is served as 1.1",
    "line feed without carriage return": "h11 takes LF for CRLF (RFC 9112, 2.2: MAY)",
    "folding": "h11 unfolds (RFC 9112, 5.2 lets a server reject)",
    "100-continue": "h11 leaves Expect to its user",
    "more than one Content-Type": "h11 leaves it to its user",
    "more than one Content-Length": "h11 takes equal ones (RFC 9110, 8.6: MAY)",
    "row of digits": "h11 takes a list of equal lengths (RFC 9110, 8.6: MAY)",
    "together with Transfer-Encoding": "h11 lets Transfer-Encoding win (RFC 9112, 6.1: MAY)",
    "in an HTTP/1.0 request": "RFC 9112, 6.1: its framing is faulty",
    "chunk-size line breaks": "h11 does not look into extensions, and takes white space after the size",
    "byte 0x": "h11 takes control bytes other than NUL, CR and LF in values, and LF in chunk lines",
    "a trailer line is not": "h11 unfolds trailers",
}
# Where h11 refuses what this server takes.
LAXER = {
    re.compile(rb"\r\n0+\r\n.*(length|encoding)", re.DOTALL | re.IGNORECASE): "h11 looks into trailers",
    re.compile(rb"0{6}"): "h11 reads at most 20 digits of a length; leading zeros say nothing",
    re.compile(
        rb"\r\n[0-9A-Fa-f]+[ \t]+;"
    ): "RFC 9112, 7.1.1: white space before an extension is read and dropped",
}


def read_by_h11(stream: bytes) -> list[Event]:
    """Requests as (method, target, version, fields, body), ended by ("error",) where h11 refuses.

    Message by message: h11 itself takes no empty line between them (RFC 9112, 2.2: SHOULD), and ends where a
    request closes the connection, which here is the caller's business.
    """
    found: list[Event] = []
    try:
        while stream := re.sub(rb"\A(\r\n)+", b"", stream):
            event, stream = read_one_by_h11(stream)
            found.append(event)
    except h11.RemoteProtocolError:
        found.append(("error",))
    return found


def read_one_by_h11(stream: bytes) -> tuple[Event, bytes]:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(stream)
    body = b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            fields = tuple(head.headers)
            return (head.method, head.target, head.http_version, fields, body), connection.trailing_data[0]
        else:
            connection.receive_data(b"")


def joined(fields: Any) -> tuple[tuple[str, str], ...]:
    """h11's fields as an environ has them."""
    cgi: dict[str, str] = {}
    for name, value in fields:
        key = name.decode().upper().replace("-", "_")
        if b"_" in name or key == "PROXY":
            continue
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        separator = "; " if key == "HTTP_COOKIE" else ","
        text = value.decode("latin-1")
        cgi[key] = f"{cgi[key]}{separator}{text}" if key in cgi else text
    return tuple(sorted(cgi.items()))


def disagreement(stream: bytes, ours: list[Event]) -> str | None:
    """What differs without a listed reason."""
    theirs = read_by_h11(stream)
    for mine, other in zip(ours, theirs, strict=False):
        if mine[0] == "error":
            taken = other != ("error",) and not any(words in mine[3] for words in STRICTER)
            return f"we refuse ({mine[3]}), h11 takes {other}" if taken else None
        if other == ("error",):
            known = any(pattern.search(stream) for pattern in LAXER)
            return None if known else f"h11 refuses, we take {mine}"
        _, method, target, _, _, (_, minor), _, _, fields, body = mine
        if target.lower().startswith(b"http"):
            continue  # the authority of the target replaces Host: RFC 9112, 3.2.2
        # h11 writes the only coding it knows in small letters.
        fields = tuple(
            (key, value.lower() if key == "HTTP_TRANSFER_ENCODING" else value) for key, value in fields
        )
        as_ours = (other[0].decode(), other[1], min(int(other[2][2:]), 1), joined(other[3]), other[4])
        if (method, target, minor, fields, body) != as_ours:
            return f"read as {mine}, by h11 as {as_ours}"
    return None if len(ours) == len(theirs) else f"we read {ours}, h11 {theirs}"


def test_every_difference_to_h11_over_the_corpora_has_a_reason(all_streams: list[bytes], events: Any) -> None:
    found = {stream: disagreement(stream, events([stream])) for stream in all_streams}
    assert {stream: what for stream, what in found.items() if what is not None} == {}


@settings(max_examples=800, deadline=None)
@given(data=st.data())
def test_every_difference_to_h11_over_mutations_has_a_reason(
    data: st.DataObject, all_streams: list[bytes], events: Any
) -> None:
    stream = bytearray(data.draw(st.sampled_from(all_streams)))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(stream)))
        removed = data.draw(st.integers(0, 2))
        stream[place : place + removed] = data.draw(st.binary(max_size=2))
    assert disagreement(bytes(stream), events([bytes(stream)])) is None


def test_long_fuzzing_finds_no_difference_to_h11_and_none_between_cuts(
    all_streams: list[bytes], events: Any
) -> None:
    """Faster than hypothesis, without its shrinking. MPM_FUZZ_SECONDS: longer; MPM_FUZZ_SEED: once more."""
    seed = int(os.environ.get("MPM_FUZZ_SEED") or random.randrange(1 << 32))
    generator = random.Random(seed)
    end = time.monotonic() + float(os.environ.get("MPM_FUZZ_SECONDS", "5"))
    while time.monotonic() < end:
        stream = mutated(generator, all_streams)
        whole = events([stream])
        place = generator.randrange(len(stream) + 1)
        assert events([stream[:place], stream[place:]]) == whole, (seed, stream, place)
        assert disagreement(stream, whole) is None, (seed, stream)


def mutated(generator: random.Random, streams: list[bytes]) -> bytes:
    """One or two streams with some of their bytes replaced by pieces of the grammar or by any byte."""
    stream = bytearray(b"".join(generator.sample(streams, generator.choice((1, 1, 2)))))
    for _ in range(generator.randint(1, 4)):
        place = generator.randrange(len(stream) + 1)
        piece = generator.choice(PIECES) if generator.random() < 0.8 else generator.randbytes(1)
        stream[place : place + generator.choice((0, 0, 1, 1, 2, 5))] = piece
    return bytes(stream)


@pytest.mark.parametrize("words", STRICTER)
def test_every_listed_difference_exists(words: str, all_streams: list[bytes], events: Any) -> None:
    refused = [
        stream for stream in all_streams if any(words in str(event) for event in events([stream])[-1:])
    ]
    assert any(read_by_h11(stream)[-1:] != [("error",)] for stream in refused)
