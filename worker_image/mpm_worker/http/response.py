"""The response's head and the answers that never reach an application (RFC 9112, 4; RFC 9110, 6.6 and 15)."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from mpm_worker.http.target import TOKEN

if TYPE_CHECKING:
    from mpm_worker.http.errors import ProtocolError

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
SERVER: Final = "Server: mpm-worker\r\n"

_STATUS = re.compile(r"([2-9][0-9]{2}) [\t -~\x80-\xff]*").fullmatch
_NAME = re.compile(TOKEN).fullmatch
_VALUE = re.compile(r"[\t -~\x80-\xff]*").fullmatch
_HOP_BY_HOP: Final = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
    *("te", "trailer", "trailers", "transfer-encoding", "upgrade"),
}

# Of the statuses that never come from an application.
_REASONS: Final = {
    400: "Bad Request",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
    507: "Insufficient Storage",
}

# What the server must know about a field of the application, by its name as spelled. Learned, as the codes
# are, and bounded.
_PLAIN, _LENGTH, _DATE, _SERVER = 1, 2, 4, 8
_SPECIAL: Final = {"content-length": _LENGTH, "date": _DATE, "server": _SERVER}
KINDS: dict[str, int] = {}
CODES: dict[str, int] = {}
_LEARNED_MOST: Final = 1024


def read_start(status: str, headers: list[tuple[str, str]]) -> tuple[int, int | None, str]:
    """Checks what start_response was called with: status code, Content-Length, and the head as far as known.

    That text is the status line and the fields, Date and Server added, Content-Length left out, each with its
    CRLF. Raises ValueError or TypeError that name the field.
    """
    code = CODES.get(status) or _learn_status(status)
    if not isinstance(headers, list):
        raise TypeError(f"the headers must be a list of tuples, not {type(headers).__name__} (PEP 3333)")
    length: int | None = None
    marks = 0
    text = f"HTTP/1.1 {status}\r\n"
    for name, value in headers:
        kind = KINDS.get(name) or _learn_name(name)
        if not isinstance(value, str):
            raise TypeError(f"the value of {name} must be str, not {type(value).__name__} (PEP 3333)")
        if kind == _LENGTH:
            length = _read_length(value, length)
            continue
        if not (value.isascii() and value.isprintable()) and not _VALUE(value):
            raise ValueError(
                f"the value of {name} has a control character, or one beyond latin-1 (RFC 9110, 5.5)"
            )
        marks |= kind
        text += f"{name}: {value}\r\n"
    if not marks & (_DATE | _SERVER):
        text += date_and_server(int(time.time()))
    elif not marks & _DATE:
        text += date_and_server(int(time.time())).removesuffix(SERVER)
    elif not marks & _SERVER:
        text += SERVER
    return code, length, text


def _learn_status(status: str) -> int:
    if not isinstance(status, str) or (match := _STATUS(status)) is None:
        raise ValueError(f"the status must be like '200 OK' and not below 200, not {status!r} (PEP 3333)")
    code = int(match[1])
    if len(CODES) < _LEARNED_MOST:
        CODES[status] = code
    return code


def _learn_name(name: str) -> int:
    if not isinstance(name, str) or not _NAME(name):
        raise ValueError(f"{name!r} is not a header name (RFC 9110, 5.1)")
    lower = name.lower()
    if lower in _HOP_BY_HOP:
        raise ValueError(f"{name} belongs to the connection, which the server manages (PEP 3333)")
    kind = _SPECIAL.get(lower, _PLAIN)
    if len(KINDS) < _LEARNED_MOST:
        KINDS[name] = kind
    return kind


def _read_length(value: str, known: int | None) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        raise ValueError(f"Content-Length must be a row of digits, not {value!r} (RFC 9110, 8.6)")
    if known is not None:
        raise ValueError("more than one Content-Length in the response (RFC 9112, 6.3)")
    return int(value)


# Not strftime: its names follow the locale.
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_date: tuple[int, str] = (-1, "")


def date_and_server(now: int) -> str:
    """The Date field for second `now` of the Unix epoch, made once a second (RFC 9110, 6.6.1), and Server."""
    global _date
    second, lines = _date
    if second != now:
        year, month, day, hour, minute, sec, weekday, *_ = time.gmtime(now)
        clock = f"{hour:02}:{minute:02}:{sec:02} GMT"
        lines = f"Date: {_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year} {clock}\r\n{SERVER}"
        _date = (now, lines)
    return lines


def error_response(error: ProtocolError) -> bytes:
    """The answer to a request that was refused: it names the rule and ends the connection."""
    reason = _REASONS.get(error.status, "Error")
    body = f"{error.status} {reason}: {error.rule}\n".encode("latin-1", "replace")
    head = (
        f"HTTP/1.1 {error.status} {reason}\r\n{date_and_server(int(time.time()))}"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("latin-1") if error.bodyless else head.encode("latin-1") + body


def content_length(answer: bytes) -> int:
    """Bytes behind the head of an `error_response`."""
    return len(answer.partition(b"\r\n\r\n")[2])
