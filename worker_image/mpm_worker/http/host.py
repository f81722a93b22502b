"""uri-host [":" port] (RFC 9110, 7.2), narrower than RFC 3986: no userinfo, no comma, no empty part."""

from __future__ import annotations

import re

_LABEL = r"(?:[A-Za-z0-9\-_~!$&'()*+;=]|%[0-9A-Fa-f]{2})+"
_PORT = r"(?::0*([0-9]{0,5}))?"
_NAME = re.compile(rf"({_LABEL}(?:\.{_LABEL})*\.?){_PORT}").fullmatch
_LITERAL = re.compile(rf"\[([0-9A-Fa-f:.]+)\]{_PORT}").fullmatch


def valid_host(value: str) -> bool:
    """Whether `value` may stand in Host or as the authority of a target.

    A comma is legal in a reg-name, but it is what two joined Host fields look like, so it is refused; so are
    the empty labels of `.` and `a..b`, which no DNS has and which are steps upwards where hosts are folders.
    """
    match = _NAME(value) or _LITERAL(value)
    if match is None or int(match[2] or 0) > 65535:
        return False
    return value[0] != "[" or _is_ipv6(match[1])


def _is_ipv6(text: str) -> bool:
    # Imported at the first such Host, which few servers ever see: it costs half a megabyte.
    from ipaddress import IPv6Address

    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True
