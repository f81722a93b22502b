"""The scoreboard's letters as short text, for lines of about 1 KiB and readers of at most 64 KiB a line."""

from __future__ import annotations

import re
from itertools import groupby

ORDER = "_SRWKDCLGI."
"""httpd's key, in its order (modules/generators/mod_status.c)."""

CODED_MOST = 32
"""Characters of a code that tells each slot's place; a sorted one has a letter and a
number for each state, which is 55 characters at most below 10,000 slots."""
LETTERS_MOST = 60_000
"""Letters of one printed line. Readers in Go take lines of 64 KiB (bufio.MaxScanTokenSize)."""

_RUN = re.compile(r"(\D)(\d*)")


def code(letters: str) -> str:
    """Each run as its letter and its length, 1 left out: `__W.` is `_2W.`.

    When that is too long the letters are sorted: their number says more than their place.
    """
    runs = _runs(letters)
    return (
        runs
        if len(runs) <= CODED_MOST
        else _runs("".join(letter * letters.count(letter) for letter in ORDER))
    )


def decode(text: str) -> str:
    """The letters of a code."""
    return "".join(letter * int(count or 1) for letter, count in _RUN.findall(text))


def fold(letters: str, most: int = LETTERS_MOST) -> tuple[str, int]:
    """A line of about `most` letters at most, and how many slots each of them stands for.

    Folded letters are sorted, and their numbers keep the proportions of the states; none that occurs is lost.
    (Showing every k-th slot was rejected: it loses the one that is different.)
    """
    each = max(1, -(-len(letters) // most))
    if each == 1:
        return letters, 1
    counts = {letter: letters.count(letter) for letter in ORDER}
    return "".join(letter * max(1, round(n / each)) for letter, n in counts.items() if n), each


def _runs(letters: str) -> str:
    found = ((letter, len(list(run))) for letter, run in groupby(letters))
    return "".join(letter if count == 1 else f"{letter}{count}" for letter, count in found)
