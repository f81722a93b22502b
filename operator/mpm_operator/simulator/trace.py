"""A trace: requests a second, one line a second."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

EXPECTED = "expected requests a second as the only or the last column, 0 or more, one line a second"

MOST_RPS = 1_000_000.0
"""Above this a line is taken for a mistake (a time stamp as last column, most often)."""


class BadTrace(Exception):
    """A trace that cannot be replayed; the text names file, line and what was expected."""


def parse(lines: Iterable[str], name: str) -> tuple[float, ...]:
    """Return requests a second, one value a second of the trace called `name` in messages.

    Columns may be separated by commas, semicolons, tabs or blanks; the last one counts. Empty lines, lines
    that begin with `#`, and one line of column names at the top are passed over.
    """
    rates: list[float] = []
    header_allowed = True
    for number, line in enumerate(lines, start=1):
        text = line.strip().lstrip("\ufeff")
        if not text or text.startswith("#"):
            continue
        rate = _rate(text)
        if rate is None:
            if header_allowed and _names_columns(text):
                header_allowed = False
                continue
            raise BadTrace(f"{name}:{number}: {EXPECTED}; got `{text[:60]}`.")
        header_allowed = False
        rates.append(rate)
    if not rates:
        raise BadTrace(f"{name}:1: {EXPECTED}; the file holds none.")
    return tuple(rates)


def _columns(text: str) -> list[str]:
    for separator in (",", ";", "\t"):
        if separator in text:
            return [column.strip().strip('"') for column in text.split(separator)]
    return text.split()


def _rate(text: str) -> float | None:
    try:
        rate = float(_columns(text)[-1])
    except ValueError:
        return None
    return rate if math.isfinite(rate) and 0 <= rate <= MOST_RPS else None


def _names_columns(text: str) -> bool:
    """Whether `text` is a header: its last column begins with a letter and names no number."""
    last = _columns(text)[-1]
    if not last[:1].isalpha():
        return False
    try:
        float(last)
    except ValueError:
        return True
    return False  # `nan` and `inf` are numbers that mean nothing, not names
