"""The request line (RFC 9112, 3): method, request-target and version."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from mpm_worker.http.errors import ProtocolError
from mpm_worker.http.host import valid_host

TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"

_METHOD_MOST: Final = 64
"""Longer than any name of a method is: the registry's longest has 17 letters (RFC 9110, 16.1)."""

# The common case in one match: capitals, origin-form without an escape, one space each, HTTP/1.x.
_COMMON = re.compile(
    rf"([A-Z]{{1,{_METHOD_MOST}}}) "
    r"((/[!-\"$&->@-~]*)(?:\?([!-\"$-~]*))?) HTTP/1\.([0-9])"
).fullmatch
_SHAPE = re.compile(r"([!-~]+) ([!-~]+) (HTTP/[0-9]\.[0-9])").fullmatch
_METHOD = re.compile(TOKEN).fullmatch
_ABSOLUTE = re.compile(r"(?i:https?)://([^/?]*)([^?]*)(?:\?(.*))?").fullmatch
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://").match
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})").sub
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})").search

# Method, target as sent, path (percent-decoded, held as latin-1 text as PEP 3333 wants), query (not decoded),
# minor version as a digit, and in absolute-form the authority. A named tuple costs as much as the match.
RequestLine: TypeAlias = tuple[str, str, str, str, str, str | None]


def parse_request_line(line: str) -> RequestLine:
    """A request line without its CRLF; raises ProtocolError."""
    match = _COMMON(line)
    if match is None or match[1] == "CONNECT":
        return _parse_uncommon(line)
    return (*match.groups(""), None)  # type: ignore[return-value]


def _parse_uncommon(line: str) -> RequestLine:
    shape = _SHAPE(line)
    if shape is None:
        raise ProtocolError(
            400, "the request line is not 'METHOD TARGET HTTP/x.y' with single spaces (RFC 9112, 3)"
        )
    method, target, version = shape.groups()
    if not _METHOD(method):
        raise ProtocolError(400, "the method is not a token (RFC 9110, 9.1)")
    if version[5] != "1":
        raise ProtocolError(505, f"{version} is not served here: use HTTP/1.1 (RFC 9110, 2.5)")
    if len(method) > _METHOD_MOST:
        raise ProtocolError(501, f"no method has a name of more than {_METHOD_MOST} letters (RFC 9112, 3)")
    if method != method.upper():
        raise ProtocolError(501, "method names are case-sensitive and written in capitals (RFC 9110, 9.1)")
    path, query, authority = _parse_target(method, target)
    if _BAD_ESCAPE(path):
        raise ProtocolError(400, "'%' in the path without two hexadecimal digits (RFC 3986, 2.1)")
    if "%00" in path:
        raise ProtocolError(400, "%00 in the path: no name of anything holds a NUL (RFC 3986, 7.3)")
    return method, target, _ESCAPE(_byte, path), query, version[7], authority


def _byte(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16))


def _parse_target(method: str, target: str) -> tuple[str, str, str | None]:
    """Path (still escaped), query and, in absolute-form, the authority (RFC 9112, 3.2)."""
    if method == "CONNECT":
        raise ProtocolError(501, "CONNECT is for proxies; this is an origin server (RFC 9110, 9.3.6)")
    if "#" in target:
        raise ProtocolError(400, "a request-target has no fragment (RFC 9112, 3.2)")
    if target[0] == "/":
        path, _, query = target.partition("?")
        return path, query, None
    if target == "*":
        if method != "OPTIONS":
            raise ProtocolError(400, "the target '*' goes with OPTIONS only (RFC 9112, 3.2.4)")
        return "*", "", None
    absolute = _ABSOLUTE(target)
    if absolute is None:
        if _SCHEME(target):
            raise ProtocolError(400, "an absolute target must be http or https (RFC 9112, 3.2.2)")
        raise ProtocolError(400, "the target must begin with '/' or be an absolute URI (RFC 9112, 3.2)")
    authority, path, query = absolute.groups("")
    if not valid_host(authority):
        raise ProtocolError(400, "the authority of the target is not 'host' or 'host:port' (RFC 9112, 3.2.2)")
    if not path:
        path = "*" if method == "OPTIONS" and not query else "/"
    return path, query, authority
