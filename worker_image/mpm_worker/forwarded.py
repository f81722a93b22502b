"""Who the client is when proxies stand in between: Forwarded (RFC 7239) and X-Forwarded-For, -Proto, -Host.

Each proxy adds the address it was asked from at the right end. So one reads from the right for as long as who
wrote is trusted; the first address that is not a trusted proxy's is the client's. What stands left of it
is the client's own invention.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from mpm_worker.http.host import valid_host

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

UNIX: Final = "unix"
AUTO, STANDARD, CUSTOM = "auto", "forwarded", "x-forwarded"
_REMEMBERED: Final = 4096
_WHOLE = re.compile(r'(?:[^"]|"(?:[^"\\]|\\.)*")*').fullmatch
_COMMAS_MOST: Final = 16
"""In one quoted string; an address has none."""
_PAIRS = re.compile(r'(?:[^";]|"(?:[^"\\]|\\.)*")+').findall
_PORT = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?").fullmatch


class Networks:
    """The addresses of the proxies that are believed; `unix` stands for whoever comes by a Unix socket."""

    def __init__(self, texts: Sequence[str]) -> None:
        """:raises ValueError: naming what is no network"""
        self.unix = UNIX in texts
        self._networks = [ipaddress.ip_network(text) for text in texts if text != UNIX]
        self._known: dict[str, bool] = {}

    def trusts(self, address: str | None) -> bool:
        """Of an address as the socket or a proxy gives it; None = a Unix socket."""
        if address is None:
            return self.unix
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[address] = self._contains(address)
        return known

    def _contains(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network or found in network for network in self._networks)


class Hop(NamedTuple):
    """What one proxy tells of who asked it; empty where it tells nothing."""

    address: str = ""
    port: str = ""
    proto: str = ""
    host: str = ""


def client_of(cgi: Mapping[str, str], networks: Networks, kind: str = AUTO) -> Hop:
    """The client of a request that came from a trusted proxy; empty = the proxy tells nothing.

    :param kind: which fields that proxy writes. `AUTO` is X-Forwarded-*, and Forwarded where there is no
        X-Forwarded-For: who could choose between them would choose who he is
    """
    standard = cgi.get("HTTP_FORWARDED", "")
    addresses = cgi.get("HTTP_X_FORWARDED_FOR", "")
    if kind == STANDARD or (kind == AUTO and standard and not addresses):
        return _walk(map(_read_element, _elements(standard)), networks)[0]
    hops = (Hop(*_address(each.strip())) for each in reversed(addresses.split(",")))
    found, back = _walk(hops, networks)
    proto, host = cgi.get("HTTP_X_FORWARDED_PROTO", ""), cgi.get("HTTP_X_FORWARDED_HOST", "")
    return found._replace(proto=_scheme(_pick(proto, back)), host=_host(_pick(host, back)))


def _walk(hops: Iterable[Hop], networks: Networks) -> tuple[Hop, int]:
    """To the first hop that is no trusted proxy, or the last one before one that is hidden or garbled.

    :param hops: the nearest first
    :return: that hop, and how many there are between it and us
    """
    found, place = Hop(), 0
    for at, hop in enumerate(hops):
        if not hop.address:
            # What a trusted proxy says of the scheme holds, although it hides the address.
            return (found, place) if found.address else (hop, at)
        found, place = hop, at
        if not networks.trusts(hop.address):
            break
    return found, place


def _elements(text: str) -> Iterator[str]:
    """The elements of a Forwarded field, the last one first.

    Read from the left, a quotation mark that the client never closes would swallow what the proxies added.
    """
    pending: list[str] = []
    for part in reversed(text.split(",")):
        pending.insert(0, part)
        element = ",".join(pending)
        if _WHOLE(element) or len(pending) > _COMMAS_MOST:
            yield element
            pending = []
    if pending:
        yield ",".join(pending)


def _pick(values: str, back: int) -> str:
    """The value of the proxy that named the client, or of the outermost one there is."""
    parts = values.split(",")
    return parts[max(0, len(parts) - 1 - back)].strip()


def _read_element(element: str) -> Hop:
    if not _WHOLE(element):
        return Hop()  # a quotation mark that stays open: it takes _PAIRS the square of its length to find out
    pairs: dict[str, str] = {}
    for pair in _PAIRS(element):
        name, _, value = pair.partition("=")
        value = value.strip()
        if value[:1] == '"':
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        pairs.setdefault(name.strip().lower(), value)
    address, port = _address(pairs.get("for", ""))
    return Hop(address, port, _scheme(pairs.get("proto", "")), _host(pairs.get("host", "")))


def _address(text: str) -> tuple[str, str]:
    """Address and port; empty when it is none: `unknown`, a hidden name, or anything else."""
    match = _PORT(text)
    address, port = (match[1] or match[2], match[3] or "") if match else (text, "")
    if "%" in address:
        return "", ""  # behind it `ipaddress` takes any text for the name of an interface
    try:
        return str(ipaddress.ip_address(address)), port
    except ValueError:
        return "", ""


def _scheme(text: str) -> str:
    return text.lower() if text.lower() in ("http", "https") else ""


def _host(text: str) -> str:
    return text if text and valid_host(text) else ""
