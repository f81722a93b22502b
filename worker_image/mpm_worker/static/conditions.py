"""Validators and preconditions (RFC 9110, 8.8 and 13)."""

from __future__ import annotations

import functools
import re
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_TAGS = re.compile(r'[ \t]*((?:W/)?"[!#-~\x80-\xff]*")[ \t]*(?:,|$)|[ \t]*,').match


@functools.lru_cache(maxsize=1024)
def _formatted(second: int) -> str:
    return formatdate(second, usegmt=True)


class Validators(NamedTuple):
    """What tells one state of a file from another: its ETag (always strong) and its date in seconds."""

    tag: str
    modified: int

    @property
    def last_modified(self) -> str:
        return _formatted(self.modified)


def validators(modified: int, size: int, coding: str, now: float) -> Validators:
    """Of a file changed at `modified` nanoseconds, sent in `coding`.

    No inode in it: the same image on two pods must give the same tag. A date to come would be a lie
    (RFC 9110, 8.8.2.1).
    """
    suffix = f"-{coding}" if coding else ""
    return Validators(f'"{modified:x}-{size:x}{suffix}"', min(modified // 10**9, int(now)))


def judge(environ: Mapping[str, str], known: Validators) -> int:
    """200, 304 or 412, for GET and HEAD (RFC 9110, 13.2.2)."""
    if (match := environ.get("HTTP_IF_MATCH")) is not None:
        if not _listed(match, known.tag, weak=False):
            return 412
    elif (
        until := _date(environ.get("HTTP_IF_UNMODIFIED_SINCE"), known)
    ) is not None and known.modified > until:
        return 412
    if (none := environ.get("HTTP_IF_NONE_MATCH")) is not None:
        return 304 if _listed(none, known.tag, weak=True) else 200
    since = _date(environ.get("HTTP_IF_MODIFIED_SINCE"), known)
    return 304 if since is not None and known.modified <= since else 200


def range_holds(environ: Mapping[str, str], known: Validators, now: float) -> bool:
    """If-Range: whether a part fits what the client has; if not, it gets all (RFC 9110, 13.1.5).

    A date counts only when it is older than a second: a file may change twice in one.
    """
    field = environ.get("HTTP_IF_RANGE")
    if field is None:
        return True
    field = field.strip(" \t")
    return field == known.tag or (field == known.last_modified and known.modified < int(now) - 1)


def _listed(field: str, tag: str, *, weak: bool) -> bool:
    """Whether `tag` is in a list of tags; the weak comparison takes no notice of W/ (RFC 9110, 8.8.3.2)."""
    if field.strip(" \t") == "*":
        return True
    at = 0
    while at < len(field) and (match := _TAGS(field, at)):
        if match[1] and (match[1].removeprefix("W/") if weak else match[1]) == tag:
            return True
        at = match.end()
    return False


def _date(field: str | None, known: Validators) -> float | None:
    """Seconds since the epoch; None when there is no date or it is none."""
    if field is None:
        return None
    if field == known.last_modified:
        return known.modified
    try:
        date = parsedate_to_datetime(field)
    except (ValueError, TypeError, OverflowError):
        return None
    return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
