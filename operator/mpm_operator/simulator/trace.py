"""A trace: requests a second, one line a second."""

from __future__ import annotations

import csv
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

EXPECTED = "expected requests a second as the only or the last column, 0 or more, one line a second"

MOST_RPS = 1_000_000.0
"""Above this a line is taken for a mistake (a time stamp as last column, most often)."""

LEAST_MILLISECONDS = 1e11
"""A time from here on counts milliseconds since 1970: in seconds it would be the year 5138."""


class BadTrace(Exception):
    """A trace that cannot be replayed; the text names file, line and what was expected."""


def parse(lines: Iterable[str], name: str) -> tuple[float, ...]:
    """Return requests a second, one value a second of the trace called `name` in messages.

    Columns may be separated by commas, semicolons, tabs or blanks; the last one counts. Empty lines, lines
    that begin with `#`, and one line of column names at the top are passed over.
    """
    rates: list[float] = []
    header_allowed = True
    width = 0
    for number, text, columns in _rows(lines):
        rate = _rate(columns[-1])
        if rate is None:
            if header_allowed and _is_name(columns[-1]):
                header_allowed = False
                continue
            raise BadTrace(f"{name}:{number}: {EXPECTED}; got `{text[:60]}`.")
        # A decimal or a thousands comma would pass for a column, and its end for a rate.
        count = len(columns)
        if count != (width or count):
            raise BadTrace(
                f"{name}:{number}: {EXPECTED}; got {count} columns in `{text[:60]}` and {width} before."
            )
        header_allowed, width = False, count
        rates.append(rate)
    if not rates:
        raise BadTrace(f"{name}:1: {EXPECTED}; the file holds none.")
    return tuple(rates)


def uneven(lines: Iterable[str], name: str) -> str:
    """Return a sentence about the first line that its own first column puts elsewhere than a second after the
    line before; empty where there is none, or no column of ascending times.

    Every line is replayed as one second whatever it says: most public traces have a line a minute.
    """
    before: float | None = None
    ascending = False
    for number, _, columns in _rows(lines):
        at = _time(columns[0]) if len(columns) > 1 else None
        if at is None:
            if before is None:
                continue
            return ""
        if before is not None and not math.isclose(at - before, 1.0, abs_tol=1e-3):
            if at < before and not ascending:
                return ""
            return (
                f"{name}:{number}: by its first column this line is {at - before:g} s after the one before; "
                "each line is replayed as one second."
            )
        ascending, before = before is not None, at
    return ""


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, str, Sequence[str]]]:
    """Yield number, text and columns of the lines that are neither empty nor remarks."""
    for number, line in enumerate(lines, start=1):
        text = line.strip().lstrip("\ufeff")
        if text and not text.startswith("#"):
            yield number, text, _columns(text)


def _columns(text: str) -> Sequence[str]:
    for separator in (";", "\t", ","):
        if separator in text:
            try:
                return [column.strip() for column in next(csv.reader([text], delimiter=separator))]
            except csv.Error:  # longer than any column of a trace
                return [text]
    return text.split()


def _rate(column: str) -> float | None:
    try:
        rate = float(column)
    except ValueError:
        return None
    return rate if math.isfinite(rate) and 0 <= rate <= MOST_RPS else None


def _time(column: str) -> float | None:
    """Return a number of seconds or milliseconds, or a date with a time, in seconds."""
    try:
        at = float(column)
    except ValueError:
        try:
            when = datetime.fromisoformat(column)
        except ValueError:
            return None
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    return at / 1000 if at >= LEAST_MILLISECONDS else at


def _is_name(column: str) -> bool:
    """Whether the last column of a line is one of a header: it begins with a letter and is no number."""
    if not column[:1].isalpha():
        return False
    try:
        float(column)
    except ValueError:
        return True
    return False  # `nan` and `inf` are numbers that mean nothing, not names
