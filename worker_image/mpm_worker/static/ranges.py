"""The Range field (RFC 9110, 14)."""

from __future__ import annotations

import itertools
import re
from typing import Final, NamedTuple

_MOST: Final = 16
_SPEC = re.compile(r"([0-9]{0,1000})-([0-9]{0,1000})").fullmatch


class Range(NamedTuple):
    """Bytes `first` up to, not including, `end`."""

    first: int
    end: int

    def content_range(self, size: int) -> str:
        """The Content-Range field of a file of `size` bytes."""
        return f"bytes {self.first}-{self.end - 1}/{size}"


def read_ranges(field: str, size: int) -> list[Range] | None:
    """The ranges of a file of `size` bytes that can be sent; [] = none of them, which is a 416.

    None = the field is to be ignored: it breaks the grammar, is of another unit, or asks for much work (more
    than 16 ranges, or ranges that overlap, so the answer would be longer than the file). Of an empty file
    too: some clients send a Range with everything, and Content-Range cannot describe it.
    """
    unit, equals, specs = field.partition("=")
    if unit.strip().lower() != "bytes" or not equals or not size:
        return None
    ranges: list[Range] = []
    items = [item for each in specs.split(",") if (item := each.strip(" \t"))]
    if not items or len(items) > _MOST:
        return None
    for item in items:
        match = _SPEC(item)
        if match is None or item == "-":
            return None
        first, last = match.groups()
        if first and last and int(first) > int(last):
            return None
        if not first:
            if int(last):
                ranges.append(Range(max(0, size - int(last)), size))
        elif int(first) < size:
            ranges.append(Range(int(first), min(size, int(last) + 1) if last else size))
    ordered = sorted(ranges)
    if any(one.end > other.first for one, other in itertools.pairwise(ordered)):
        return None
    return ranges
