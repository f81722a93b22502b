"""What h11, an independent reader, makes of the same bytes: each difference has its reason here."""

from __future__ import annotations

import re
from typing import Any

import h11

Event = tuple[Any, ...]

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
    "more than 64 letters": "h11 passes any token; nobody implements such a method (RFC 9112, 3: 501)",
    "CONNECT": "h11 serves proxies too",
    "is not served here": "h11 leaves the version to its user, who must answer 505",
    "without Host": "h11 asks for Host in 1.1 only, not in a higher minor version, which is served as 1.1",
    "line feed without carriage return": "h11 takes LF for CRLF (RFC 9112, 2.2: MAY)",
    "folding": "h11 unfolds (RFC 9112, 5.2 lets a server reject)",
    "100-continue": "h11 leaves Expect to its user",
    "more than one Content-Type": "h11 leaves it to its user",
    "more than one Content-Length": "h11 takes equal ones (RFC 9110, 8.6: MAY)",
    "a TRACE request": "h11 leaves the meaning of a method to its user",
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
