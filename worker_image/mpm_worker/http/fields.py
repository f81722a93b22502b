"""The header section (RFC 9110, 5; RFC 9112, 5 and 6): grammar, framing, Host, and the names of CGI."""

from __future__ import annotations

import re
from typing import Final

from mpm_worker.http.errors import ProtocolError
from mpm_worker.http.host import valid_host
from mpm_worker.http.target import TOKEN

# A whole line each, so that as many matches as line feeds means: every line is right. Control bytes never match.
_LINES = re.compile(rf"(?<![^\n])({TOKEN}):([\t -~\x80-\xff]*)\r\n").findall
_DIGITS = re.compile(r"[0-9]+").fullmatch

# CGI's name of a field name as it was spelled, "" = dropped. Learned; bounded, since clients choose the names.
_CGI_NAMES: dict[str, str] = {}
_CGI_NAMES_MOST: Final = 1024

# These decide where a message ends or for whom it is: a second one is an ambiguity, never a list.
_ONCE: Final = {
    "HTTP_HOST": "Host (RFC 9112, 3.2)",
    "CONTENT_LENGTH": "Content-Length (RFC 9112, 6.3)",
    "CONTENT_TYPE": "Content-Type (RFC 9110, 8.3)",
}


class Fields:
    """One header section, read: `cgi` are the environ entries, the rest is what the connection must know."""

    __slots__ = (
        "cgi",
        "chunked",
        "close",
        "count",
        "expect",
        "host",
        "keep_alive",
        "length",
        "other_expectation",
    )

    def __init__(self, cgi: dict[str, str], count: int) -> None:
        self.cgi = cgi
        self.count = count
        self.host = cgi.get("HTTP_HOST")
        self.length = 0
        self.chunked = False
        options = _list(cgi.get("HTTP_CONNECTION", ""))
        self.close = "close" in options
        self.keep_alive = "keep-alive" in options
        expectations = _list(cgi.get("HTTP_EXPECT", ""))
        self.expect = "100-continue" in expectations
        self.other_expectation = any(each != "100-continue" for each in expectations)


def parse_fields(section: str, most: int) -> Fields:
    """The lines between request line and empty line, each with its CRLF; at most `most` of them.

    Raises ProtocolError, or ValueError when a line breaks the grammar: `mpm_worker.http.lines` then says which.
    """
    pairs = _LINES(section)
    if len(pairs) != section.count("\n") or section.count("\r") != len(pairs):
        raise ValueError("a line of the header section breaks the grammar")
    if len(pairs) > most:
        raise ProtocolError(431, f"more than {most} fields")
    cgi: dict[str, str] = {}
    for name, value in pairs:
        key = _CGI_NAMES.get(name)
        if key is None:
            key = _learn(name)
        if not key:
            continue
        value = value.strip(" \t")
        if key in cgi:
            if key in _ONCE:
                raise ProtocolError(400, f"more than one {_ONCE[key]}")
            # RFC 6265 joins cookies by "; ", everything else is a list by comma (RFC 9110, 5.3).
            value = f"{cgi[key]}; {value}" if key == "HTTP_COOKIE" else f"{cgi[key]},{value}"
        cgi[key] = value
    fields = Fields(cgi, len(pairs))
    _frame(fields, cgi)
    if fields.host is not None and not valid_host(fields.host):
        raise ProtocolError(400, "Host is not 'host' or 'host:port' (RFC 9110, 7.2)")
    return fields


def _learn(name: str) -> str:
    """CGI's name of a field. A name with '_' would be taken for its twin with '-', and `Proxy` for the variable
    HTTP_PROXY that many HTTP clients obey: both are dropped, as httpd does."""
    upper = name.upper()
    if "_" in name or upper == "PROXY":
        key = ""
    else:
        key = upper.replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
    if len(_CGI_NAMES) < _CGI_NAMES_MOST:
        _CGI_NAMES[name] = key
    return key


def _frame(fields: Fields, cgi: dict[str, str]) -> None:
    """Where the body ends (RFC 9112, 6.3). Whatever two readers could see differently is refused."""
    length = cgi.get("CONTENT_LENGTH")
    coding = cgi.get("HTTP_TRANSFER_ENCODING")
    if coding is not None:
        if length is not None:
            raise ProtocolError(400, "Content-Length together with Transfer-Encoding (RFC 9112, 6.1)")
        codings = coding.lower().split(",")
        if codings[-1].strip(" \t") != "chunked":
            raise ProtocolError(400, "the last transfer coding is not 'chunked' (RFC 9112, 6.3)")
        if len(codings) > 1:
            if any(each.strip(" \t") in ("", "chunked") for each in codings[:-1]):
                raise ProtocolError(
                    400, "'chunked' more than once, or an empty transfer coding (RFC 9112, 6.1)"
                )
            raise ProtocolError(501, "'chunked' is the only transfer coding here (RFC 9112, 6.1)")
        fields.chunked = True
    elif length is not None:
        if not _DIGITS(length):
            raise ProtocolError(400, "Content-Length is not a row of digits (RFC 9110, 8.6)")
        # Twenty digits are beyond any limit; int() itself refuses thousands of them.
        fields.length = int(length) if len(length) < 20 else 1 << 64


def _list(value: str) -> list[str]:
    return [each.strip(" \t").lower() for each in value.split(",")] if value else []
