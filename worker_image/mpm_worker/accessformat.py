"""The lines of the access log: the common and the combined log format (mod_log_config), or JSON."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

COMMON, COMBINED, JSON = "common", "combined", "json"
_DAY = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class More(NamedTuple):
    """What the common format has no place for. `seconds` is the time in the slot, `queued` that before it."""

    referer: str = ""
    agent: str = ""
    host: str = ""
    seconds: float = 0.0
    queued: float = 0.0
    slot: str = ""
    """PROCESS-THREAD, as rows and places of the scoreboard."""
    id: str = ""


NOTHING_MORE: Final = More()


class _Clock:
    """The stamp of the present second, made once."""

    def __init__(self, make: Callable[[int], str]) -> None:
        self._make, self._second, self._text = make, 0, ""

    def read(self, now: float) -> str:
        second = int(now)
        if second != self._second:
            self._second, self._text = second, self._make(second)
        return self._text


def _httpd_stamp(second: int) -> str:
    now = time.localtime(second)
    sign, offset = ("-" if now.tm_gmtoff < 0 else "+"), abs(now.tm_gmtoff) // 60
    return time.strftime(
        f"%d/{_DAY[now.tm_mon - 1]}/%Y:%H:%M:%S {sign}{offset // 60:02}{offset % 60:02}", now
    )


def _iso_stamp(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


_httpd, _iso = _Clock(_httpd_stamp), _Clock(_iso_stamp)


def common(peer: str, line: str, status: int, sent: int, more: More = NOTHING_MORE) -> str:
    """`%h %l %u %t "%r" %>s %b`"""
    return f'{peer or "-"} - - [{_httpd.read(time.time())}] "{_escaped(line)}" {status} {sent or "-"}\n'


def combined(peer: str, line: str, status: int, sent: int, more: More = NOTHING_MORE) -> str:
    """`common`, then `"%{Referer}i" "%{User-agent}i"`"""
    fields = f'"{_escaped(more.referer or "-")}" "{_escaped(more.agent or "-")}"'
    return f"{common(peer, line, status, sent)[:-1]} {fields}\n"


def as_json(peer: str, line: str, status: int, sent: int, more: More = NOTHING_MORE) -> str:
    """One object a line, always with the same keys; times are seconds."""
    now = time.time()
    return (
        f'{{"time":"{_iso.read(now)}.{int(now * 1000) % 1000:03}Z","client":{_quoted(peer)},'
        f'"request":{_quoted(line)},"status":{status},"bytes":{sent},"seconds":{more.seconds:.6f},'
        f'"queued":{more.queued:.6f},"slot":{_quoted(more.slot)},"id":{_quoted(more.id)},'
        f'"host":{_quoted(more.host)},"referer":{_quoted(more.referer)},"agent":{_quoted(more.agent)}}}\n'
    )


FORMATS: Final = {COMMON: common, COMBINED: combined, JSON: as_json}


def lost(count: int, name: str) -> str:
    """Said in the place of lines that are not there."""
    now = time.time()
    if name == JSON:
        return f'{{"time":"{_iso.read(now)}.000Z","lost":{count}}}\n'
    return f"- - - [{_httpd.read(now)}] {count} lines were lost here\n"


def _escaped(text: str) -> str:
    """As httpd escapes what a client chose: nothing it sends can end the field or the line."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return text.encode("unicode_escape").decode("ascii").replace('"', '\\"')


def _quoted(text: str) -> str:
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return json.dumps(text)
