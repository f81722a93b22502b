"""The header section (RFC 9110, 5; RFC 9112, 5 and 6): grammar, framing, Host, and the names of CGI."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, TypeAlias

from httptools import HttpParserError, HttpRequestParser

from mpm_worker.http.errors import LENGTH_MOST, ProtocolError
from mpm_worker.http.host import valid_host
from mpm_worker.http.target import TOKEN

_LINE = re.compile(rf"({TOKEN}):([\t -~\x80-\xff]*)").fullmatch
_DIGITS = re.compile(r"[0-9]+").fullmatch

# What a line says beyond its value, so that a section of ordinary lines needs no second look.
_HOST, _BAD_HOST, _CONNECTION, _FRAMING, _EXPECT, _DROPPED, _DOUBTED = 1, 2, 4, 8, 16, 32, 64
_MARKS: Final = {
    "HTTP_CONNECTION": _CONNECTION,
    "HTTP_TRANSFER_ENCODING": _FRAMING,
    "CONTENT_LENGTH": _FRAMING,
    "HTTP_EXPECT": _EXPECT,
}
# These decide where a message ends or what it is: a second one is an ambiguity, never a list.
_ONCE: Final = {
    "HTTP_HOST": "Host (RFC 9112, 3.2)",
    "CONTENT_LENGTH": "Content-Length (RFC 9112, 6.3)",
    "CONTENT_TYPE": "Content-Type (RFC 9110, 8.3)",
}

Lines: TypeAlias = dict[str, tuple[str, str, int]]

# Clients repeat their lines to the byte, so a line is read once: CGI's name, value and mark. Bounded in count
# and size; secrets are not kept.
KNOWN: Lines = {}
_KNOWN_MOST: Final = 1024
_KNOWN_LENGTH: Final = 256
_OWN_LENGTH: Final = 1024
_OWN_MOST: Final = 4
_SECRETS: Final = frozenset(("HTTP_COOKIE", "HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION"))


class Fields:
    """One header section, read: `cgi` are the environ entries, the rest is what the connection must know.

    `plain`: Host and nothing else that the connection must heed. The class attributes are what most sections
    leave as it is.
    """

    length = 0
    chunked = False
    close = False
    keep_alive = False
    expect = False  # 100-continue
    other_expectation = False

    def __init__(self, cgi: dict[str, str], has_host: bool, plain: bool) -> None:
        self.cgi = cgi
        self.has_host = has_host
        self.plain = plain


def parse_fields(section: str, most: int, own: Lines) -> Fields:
    """The lines between request line and empty line, without the CRLF of the last; at most `most` of them.

    `own` is the caller's, one a connection: secrets that it has sent are remembered there and nowhere else.
    Raises ProtocolError, or ValueError when a line breaks the grammar: `mpm_worker.http.lines` says which.
    """
    lines = section.split("\r\n") if section else []
    cgi: dict[str, str] = {}
    marks = 0
    for line in lines:
        name, value, mark = KNOWN.get(line) or own.get(line) or read_line(line, own)
        if name in cgi:
            value = _join(name, cgi[name], value)
        cgi[name] = value
        marks |= mark
    if len(lines) > most:
        raise ProtocolError(431, f"more than {most} fields")
    fields = Fields(cgi, bool(marks & _HOST), marks & ~(_CONNECTION | _DROPPED) == _HOST)
    if marks > _HOST:
        _heed(marks, fields, cgi)
    return fields


def read_line(line: str, own: Lines) -> tuple[str, str, int]:
    """CGI's name, value and mark of a line that was not seen before; remembered. Raises ValueError."""
    match = _LINE(line)
    if match is None:
        raise ValueError("a line of the header section breaks the grammar")
    value = match[2].strip(" \t")
    name = _cgi_name(match[1])
    if name == "HTTP_HOST":
        mark = _HOST if valid_host(value) else _HOST | _BAD_HOST
    else:
        mark = _MARKS.get(name, 0) if name else _DROPPED
    if _second_reading(line) != (match[1], value):
        mark |= _DOUBTED
    read = (name, value, mark)
    if name in _SECRETS:
        if len(own) >= _OWN_MOST:
            own.clear()
        if len(line) <= _OWN_LENGTH:
            own[line] = read
    elif len(line) <= _KNOWN_LENGTH:
        if len(KNOWN) >= _KNOWN_MOST:
            KNOWN.clear()
        KNOWN[line] = read
    return read


class _Line:
    """Takes what llhttp reads of one field line."""

    __slots__ = ("read",)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.read = name.decode("latin-1"), value.decode("latin-1")


def _second_reading(line: str) -> tuple[str, str] | None:
    """Name and value as llhttp sees them, None when it refuses the line.

    Request smuggling lives on two readers that see one message differently. A line is served only when the
    parser that most proxies and servers are built on sees in it what we see (docs/adr/0006). White space at
    its end is cut first: llhttp leaves a tab in the value.
    """
    taken = _Line()
    try:
        HttpRequestParser(taken).feed_data(
            b"GET / HTTP/1.1\r\n%s\r\n\r\n" % line.rstrip(" \t").encode("latin-1")
        )
    except HttpParserError:
        return None
    return taken.read


@lru_cache(1024)
def _cgi_name(name: str) -> str:
    """CGI's name of a field, empty to drop it as httpd does.

    One with '_' would be taken for its twin with '-', and `Proxy` for the HTTP_PROXY that clients obey.
    """
    upper = name.upper()
    if "_" in name or upper == "PROXY":
        return ""
    key = upper.replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


def _join(name: str, first: str, second: str) -> str:
    """A repeated field is a list by comma (RFC 9110, 5.3); cookies are joined by "; " (RFC 6265, 5.4)."""
    if name in _ONCE:
        raise ProtocolError(400, f"more than one {_ONCE[name]}")
    return f"{first}; {second}" if name == "HTTP_COOKIE" else f"{first},{second}"


def _heed(marks: int, fields: Fields, cgi: dict[str, str]) -> None:
    """The lines that say more than their value."""
    if marks & _BAD_HOST:
        raise ProtocolError(400, "Host is not 'host' or 'host:port' (RFC 9110, 7.2)")
    if marks & _FRAMING:
        _frame(fields, cgi.get("CONTENT_LENGTH"), cgi.get("HTTP_TRANSFER_ENCODING"))
    if marks & _CONNECTION:
        options = _list(cgi["HTTP_CONNECTION"])
        fields.close = "close" in options
        fields.keep_alive = "keep-alive" in options
    if marks & _EXPECT:
        # An empty element of a list says nothing (RFC 9110, 5.6.1).
        expectations = set(_list(cgi["HTTP_EXPECT"])) - {""}
        fields.expect = "100-continue" in expectations
        fields.other_expectation = bool(expectations - {"100-continue"})
    if marks & _DROPPED:
        del cgi[""]
    if marks & _DOUBTED:
        # Last, so that a fault with a name of its own is told by it.
        raise ProtocolError(400, "a field line that llhttp reads differently")


def _frame(fields: Fields, length: str | None, coding: str | None) -> None:
    """Where the body ends (RFC 9112, 6.3). Whatever two readers could see differently is refused."""
    if coding is None:
        assert length is not None
        if not _DIGITS(length):
            raise ProtocolError(400, "Content-Length is not a row of digits (RFC 9110, 8.6)")
        digits = length.lstrip("0") or "0"
        if len(digits) > 19 or int(digits) > LENGTH_MOST:  # int() refuses thousands of digits
            raise ProtocolError(400, "Content-Length has more than 63 bits (RFC 9110, 8.6)")
        fields.length = int(digits)
        return
    if length is not None:
        raise ProtocolError(400, "Content-Length together with Transfer-Encoding (RFC 9112, 6.1)")
    *others, last = _list(coding)
    if last != "chunked":
        raise ProtocolError(400, "the last transfer coding is not 'chunked' (RFC 9112, 6.3)")
    if "" in others or "chunked" in others:
        raise ProtocolError(400, "'chunked' more than once, or an empty transfer coding (RFC 9112, 6.1)")
    if others:
        raise ProtocolError(501, "'chunked' is the only transfer coding here (RFC 9112, 6.1)")
    fields.chunked = True


def _list(value: str) -> list[str]:
    return [each.strip(" \t").lower() for each in value.split(",")]
