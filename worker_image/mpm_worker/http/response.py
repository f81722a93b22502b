"""The response's head and the answers that never reach an application (RFC 9112, 4; RFC 9110, 6.6 and 15)."""

from __future__ import annotations

import re
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from mpm_worker.http.errors import ProtocolError
from mpm_worker.http.target import TOKEN

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
SERVER: Final = "Server: mpm-worker\r\n"

_STATUS = re.compile(r"([2-9][0-9]{2})(?: [\t -~\x80-\xff]*)?").fullmatch
_NAME = re.compile(TOKEN).fullmatch
_HOP_BY_HOP: Final = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
    )
    + ("trailers", "transfer-encoding", "upgrade")
)

# What the server must know about a field of the application, by its name as spelled; learned and bounded.
_PLAIN, _LENGTH, _DATE, _SERVER = range(4)
_SPECIAL: Final = {"content-length": _LENGTH, "date": _DATE, "server": _SERVER}
_KINDS: dict[str, int] = {}
_KINDS_MOST: Final = 1024


class Start:
    """What an application gave to start_response: checked and ready to be joined into a head."""

    __slots__ = ("code", "length", "text")

    def __init__(self, code: int, length: int | None, text: str) -> None:
        self.code = code
        self.length = length
        self.text = text

    @property
    def bodyless(self) -> bool:
        """Whether a response of this status never has content (RFC 9110, 15.3.5, 15.3.6 and 15.4.5)."""
        return self.code in (204, 205, 304)


def read_start(status: str, headers: list[tuple[str, str]]) -> Start:
    """Checks what start_response was called with; raises ValueError or TypeError that name the field.

    `text` of the result is status line and fields, Date and Server included, Content-Length left out.
    """
    if not isinstance(status, str) or (match := _STATUS(status)) is None:
        raise ValueError(f"the status must be like '200 OK' and not below 200, not {status!r} (PEP 3333)")
    if not isinstance(headers, list):
        raise TypeError(
            f"the headers must be a list of (name, value), not {type(headers).__name__} (PEP 3333)"
        )
    length: int | None = None
    own = _DATE | _SERVER << 2
    text = f"HTTP/1.1 {status}\r\n" if len(status) > 3 else f"HTTP/1.1 {status} \r\n"
    for name, value in headers:
        kind = _KINDS.get(name)
        if kind is None:
            kind = _learn(name)
        if not isinstance(value, str):
            raise TypeError(f"the value of {name} must be str, not {type(value).__name__} (PEP 3333)")
        if kind == _LENGTH:
            length = _read_length(value, length)
            continue
        if kind == _DATE:
            own &= ~_DATE
        elif kind == _SERVER:
            own &= ~(_SERVER << 2)
        text += f"{name}: {value}\r\n"
    lines = len(headers) + 1 - (length is not None)
    if text.count("\n") != lines or text.count("\r") != lines or "\0" in text:
        raise ValueError(f"CR, LF or NUL in a response header (RFC 9110, 5.5): {_culprit(headers)}")
    if own & _DATE:
        text += date_line(int(time.time()))
    if own >> 2:
        text += SERVER
    return Start(int(match[1]), length, text)


def _learn(name: str) -> int:
    if not isinstance(name, str) or not _NAME(name):
        raise ValueError(f"{name!r} is not a header name (RFC 9110, 5.1)")
    lower = name.lower()
    if lower in _HOP_BY_HOP:
        raise ValueError(
            f"{name} belongs to the connection, which is the server's, not the application's (PEP 3333)"
        )
    kind = _SPECIAL.get(lower, _PLAIN)
    if len(_KINDS) < _KINDS_MOST:
        _KINDS[name] = kind
    return kind


def _read_length(value: str, known: int | None) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        raise ValueError(f"Content-Length must be a row of digits, not {value!r} (RFC 9110, 8.6)")
    if known is not None:
        raise ValueError("more than one Content-Length in the response (RFC 9112, 6.3)")
    return int(value)


def _culprit(headers: list[tuple[str, str]]) -> str:
    return ", ".join(name for name, value in headers if any(each in value for each in "\r\n\0"))


_date: tuple[int, str] = (-1, "")


def date_line(now: int) -> str:
    """The Date field for second `now` of the Unix epoch, made once a second (RFC 9110, 6.6.1)."""
    global _date
    second, line = _date
    if second != now:
        line = f"Date: {formatdate(now, usegmt=True)}\r\n"
        _date = (now, line)
    return line


def error_response(error: ProtocolError) -> bytes:
    """The answer to a request that was refused: it names the rule and ends the connection."""
    try:
        reason = HTTPStatus(error.status).phrase
    except ValueError:
        reason = "Error"
    body = f"{error.status} {reason}: {error.rule}\n".encode("latin-1", "replace")
    head = (
        f"HTTP/1.1 {error.status} {reason}\r\n{date_line(int(time.time()))}{SERVER}"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("latin-1") if error.bodyless else head.encode("latin-1") + body
