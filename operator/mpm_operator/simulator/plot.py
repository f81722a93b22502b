"""A run as a picture: four panels over one time axis, written as SVG by hand.

Load in requests a second; slots needed and slots that accept; pods; late requests. Seconds that share a pixel
column show the worst of them, so that no spike is averaged away.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .result import Result, Second

WIDTH, LEFT, RIGHT, TOP = 960, 64, 24, 72
PANEL, GAP = 150, 46
COLUMNS = WIDTH - LEFT - RIGHT
LOAD, NEED, SLOTS, PODS, LATE = "#4c6a92", "#b0b7c3", "#2a7f62", "#8a5a00", "#c0392b"


def svg(result: Result, title: str) -> str:
    """Return the run as an SVG document of 960 pixels width."""
    columns = _columns(result.seconds)
    panels = [
        _panel(
            0, "requests a second", len(result.seconds), [(LOAD, "load", _series(columns, lambda s: s.rps))]
        ),
        _panel(
            1,
            "slots",
            len(result.seconds),
            [
                (NEED, "needed (rps × service time)", _series(columns, lambda s: s.slots_needed)),
                (SLOTS, "accepting", _series(columns, lambda s: s.slots)),
            ],
        ),
        _panel(2, "pods", len(result.seconds), [(PODS, "pods", _series(columns, lambda s: s.pods))]),
        _panel(
            3,
            "late requests a second",
            len(result.seconds),
            [(LATE, "waited longer than the SLO, or lost", _series(columns, lambda s: s.late))],
        ),
    ]
    height = TOP + len(panels) * (PANEL + GAP)
    summary = (
        f"{result.violations_percent:g} % late · {result.cost:g} × ideal pod-seconds · "
        f"peak {result.peak_pods} pods · {result.flaps_per_hour:g} flaps/h"
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
            f'height="{height}" font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            f'<text x="{LEFT}" y="22" font-size="15" font-weight="bold">{escape(title)}</text>',
            f'<text x="{LEFT}" y="40" fill="#555555">{escape(summary)}</text>',
            *panels,
            "</svg>",
            "",
        ]
    )


def _columns(seconds: Sequence[Second]) -> list[Sequence[Second]]:
    """Share the seconds out to at most one group a pixel column."""
    count = min(COLUMNS, len(seconds))
    edges = [len(seconds) * column // count for column in range(count + 1)]
    return [seconds[low:high] for low, high in pairwise(edges)]


def _series(columns: Sequence[Sequence[Second]], value: Callable[[Second], float]) -> list[float]:
    return [max(value(second) for second in column) for column in columns]


def _panel(row: int, label: str, seconds: int, lines: Sequence[tuple[str, str, list[float]]]) -> str:
    top = TOP + row * (PANEL + GAP)
    most = _round_up(max(max(values) for _, _, values in lines))
    parts = [f'<text x="{LEFT}" y="{top - 6}">{escape(label)}</text>']
    for step in range(5):
        y = top + PANEL * step / 4
        parts.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{LEFT + COLUMNS}" y2="{y:.1f}" stroke="#e4e7ec"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#555555">'
            f"{most * (4 - step) / 4:g}</text>"
        )
    for tick in range(7):
        x = LEFT + COLUMNS * tick / 6
        anchor = "middle" if tick < 6 else "end"  # hours would go beyond the edge
        parts.append(
            f'<text x="{x:.1f}" y="{top + PANEL + 15}" text-anchor="{anchor}" fill="#555555">'
            f"{_clock(seconds * tick / 6)}</text>"
        )
    for place, (colour, name, values) in enumerate(lines):
        parts.append(
            f'<path d="{_path(values, most, top)}" fill="none" stroke="{colour}" stroke-width="1.3"/>'
        )
        parts.append(
            f'<text x="{LEFT + COLUMNS - 240 * place}" y="{top - 6}" text-anchor="end" fill="{colour}">'
            f"{escape(name)}</text>"
        )
    return "\n".join(parts)


def _path(values: Sequence[float], most: float, top: float) -> str:
    """Return a step line: every value holds for its whole column."""
    width = COLUMNS / len(values)
    parts = []
    for column, value in enumerate(values):
        y = top + PANEL * (1 - value / most)
        parts.append(
            f"{'L' if column else 'M'}{LEFT + column * width:.1f} {y:.1f}H{LEFT + (column + 1) * width:.1f}"
        )
    return "".join(parts)


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 4, 6, 8, 10 × a power of ten, so that the grid's labels are short."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value)


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
