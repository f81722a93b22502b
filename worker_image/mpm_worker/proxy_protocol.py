"""The header of the PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): bytes in, client out."""

from __future__ import annotations

import ipaddress
import re
import struct
from typing import Final, NamedTuple

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_TEXT: Final = b"PROXY "
_TEXT_MOST: Final = 107
_LINE = re.compile(
    rb"PROXY (?:(UNKNOWN)(?: [ -~]*)?"
    rb"|TCP([46]) ([0-9a-fA-F:.]+) ([0-9a-fA-F:.]+) ([0-9]{1,5}) ([0-9]{1,5}))\r\n"
).fullmatch
_BINARY_MOST: Final = 4096
_HEAD = struct.Struct("!12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_TLS_TYPE, _TLS_CLIENT = 0x20, 0x01

MOST: Final = _HEAD.size + _BINARY_MOST
"""Bytes of the longest header that is read."""


class Malformed(ValueError):
    """What came is no header of the PROXY protocol."""


class Header(NamedTuple):
    """`peer` is address and port of the client; None: the proxy speaks for itself, or does not know.

    `size` counts the bytes of the header; `tls`: the client spoke TLS with the proxy (version 2 only).
    """

    peer: tuple[str, str] | None
    size: int
    tls: bool = False


def parse(data: bytes) -> Header | None:
    """The header that `data` begins with; None = more bytes are needed.

    :raises Malformed: these bytes are no header and will not become one
    """
    if data[: len(_SIGNATURE)] == _SIGNATURE[: len(data)]:
        return _parse_binary(data)
    if data[: len(_TEXT)] == _TEXT[: len(data)]:
        return _parse_text(data)
    raise Malformed("it begins with neither signature")


def _parse_text(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, _TEXT_MOST)
    if end < 0:
        if len(data) >= _TEXT_MOST:
            raise Malformed(f"the line is longer than {_TEXT_MOST} bytes")
        return None
    match = _LINE(data[: end + 2])
    if match is None:
        raise Malformed("the line is not 'PROXY TCP4|TCP6 source destination port port'")
    if match[1]:
        return Header(None, end + 2)
    version, *addresses, source_port, port = (part.decode() for part in match.groups()[1:])
    try:
        source, _ = (str(ipaddress.ip_address(address)) for address in addresses)
        if any(ipaddress.ip_address(address).version != int(version) for address in addresses):
            raise ValueError
    except ValueError:
        raise Malformed(f"its addresses are not of IPv{version}") from None
    if int(source_port) > 65535 or int(port) > 65535:
        raise Malformed("a port above 65535")
    return Header((source, str(int(source_port))), end + 2)


def _parse_binary(data: bytes) -> Header | None:
    if len(data) < _HEAD.size:
        return None
    _, command, family, length = _HEAD.unpack_from(data)
    if command not in (_LOCAL, _PROXY):
        raise Malformed(f"version and command are {command:#x}")
    if length > _BINARY_MOST:
        raise Malformed(f"it is longer than {_BINARY_MOST} bytes")
    size = _HEAD.size + length
    if len(data) < size:
        return None
    if command == _LOCAL:
        return Header(None, size)
    width = {_TCP4: 4, _TCP6: 16}.get(family)
    if width is None:
        return Header(None, size)  # a Unix socket, a datagram, or unspecified: there is no address to take
    body = data[_HEAD.size : size]
    addresses = 2 * width + 4
    if length < addresses:
        raise Malformed("it is too short for its addresses")
    (port,) = struct.unpack_from("!H", body, 2 * width)
    return Header((str(ipaddress.ip_address(body[:width])), str(port)), size, _spoke_tls(body[addresses:]))


def _spoke_tls(extensions: bytes) -> bool:
    """Reads the type-length-value entries up to PP2_TYPE_SSL."""
    at = 0
    while at < len(extensions):
        if len(extensions) < at + 3:
            raise Malformed("an extension is cut short")
        kind, length = struct.unpack_from("!BH", extensions, at)
        if len(extensions) < at + 3 + length:
            raise Malformed("an extension is cut short")
        if kind == _TLS_TYPE:
            return bool(length and extensions[at + 3] & _TLS_CLIENT)
        at += 3 + length
    return False
