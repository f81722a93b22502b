"""The picture of the README, from a real `mpm run` of the example under its demo load (three minutes).

`python docs/pictures/make_scaling_svg.py` runs, records and draws; with a recording (`scaling.ndjson`) given
it only draws.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mpm_operator.local.document import load
from mpm_operator.local.run import Wish, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mpm_operator.local.view import View

HERE = Path(__file__).parent
NAME = "examples/blocking/webserver.yaml"
EXAMPLE = HERE.parents[1] / NAME
AFTER_LOAD_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Moment:
    """What is drawn of one moment."""

    at: float
    clients: int
    requests: int
    failures: int
    pods: int
    threads: int
    busy: int
    queue: int
    reason: str


class Recorder:
    """A display that keeps one moment a second, and stops the run when the load is long over."""

    wants_processes = False

    def __init__(self, stop: asyncio.Event) -> None:
        self.moments: list[Moment] = []
        self._stop = stop
        self._load_ended: float | None = None

    def show(self, view: View) -> None:
        load, totals = view.load, view.plan.totals
        moment = Moment(
            at=round(view.at, 2),
            clients=load.clients if load else 0,
            requests=load.requests if load else 0,
            failures=load.failures if load else 0,
            pods=view.ready,
            threads=view.threads,
            busy=totals.busy,
            queue=totals.queue,
            reason=view.plan.decision.reason,
        )
        if not self.moments or view.at - self.moments[-1].at >= 0.5:
            self.moments.append(moment)
        if self._load_ended is not None and view.at > self._load_ended + AFTER_LOAD_SECONDS:
            self._stop.set()

    def say(self, text: str) -> None:
        print(text, flush=True)
        if text.startswith("load: ended") and self.moments:
            self._load_ended = self.moments[-1].at

    def close(self) -> None:
        """Nothing to give back."""


async def record() -> list[Moment]:
    """Run the example with its demo load."""
    stop = asyncio.Event()
    recorder = Recorder(stop)
    await run(Wish(load(EXAMPLE), EXAMPLE.parent, 0, True), recorder, stop, asyncio.Event())
    return recorder.moments


WIDTH, HEIGHT, LEFT, RIGHT, TOP = 860, 430, 46, 96, 52
SLOTS_BOTTOM, PODS_TOP, PODS_BOTTOM = 280, 310, 396
INK, FAINT, PAPER = "#1f2328", "#d0d7de", "#ffffff"
BLUE, ORANGE, GREEN = "#0969da", "#bc4c00", "#1a7f37"


def draw(moments: Sequence[Moment]) -> str:
    """The SVG: slots and requests above, pods below, over the seconds of the run."""
    last, final = moments[-1], moments[-1].at
    most_slots = max(max(m.threads, m.clients) for m in moments)
    most_pods = max(m.pods for m in moments)

    def x(moment: Moment) -> float:
        return LEFT + moment.at / final * (WIDTH - LEFT - RIGHT)

    def slots(value: float) -> float:
        return SLOTS_BOTTOM - value / most_slots * (SLOTS_BOTTOM - TOP)

    def pods(value: float) -> float:
        return PODS_BOTTOM - value / most_pods * (PODS_BOTTOM - PODS_TOP)

    title = f"mpm run {NAME} --demo-load: {last.requests:,} requests, {last.failures} failed"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}">',
        f"<title>{title}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>',
        f'<text x="{LEFT}" y="24" font-size="15">Pods and threads follow the scoreboard</text>',
        f'<text x="{LEFT}" y="41" fill="#59636e">{title}</text>',
        *_grid(most_slots, slots),
        *_grid(most_pods, pods),
        *(_second(at, LEFT + at / final * (WIDTH - LEFT - RIGHT)) for at in range(0, int(final) + 1, 20)),
        _line(moments, x, lambda m: slots(m.clients), ORANGE, 1.5, floor=slots(0)),
        _line(moments, x, lambda m: slots(m.threads), BLUE, 2.0),
        _line(moments, x, lambda m: pods(m.pods), GREEN, 2.0),
        *_labels(slots(last.threads), slots(last.clients), pods(last.pods)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _line(
    moments: Sequence[Moment],
    x: Callable[[Moment], float],
    y: Callable[[Moment], float],
    colour: str,
    width: float,
    floor: float | None = None,
) -> str:
    """Steps: a value holds until the next one. With a `floor` the area above it is tinted."""
    path = f"M{x(moments[0]):.1f},{y(moments[0]):.1f}"
    for moment in moments[1:]:
        path += f"H{x(moment):.1f}V{y(moment):.1f}"
    line = f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
    if floor is None:
        return line
    area = f"{path}V{floor:.1f}H{x(moments[0]):.1f}Z"
    return f'<path d="{area}" fill="{colour}" fill-opacity="0.15"/>{line}'


def _grid(most: int, y: Callable[[float], float]) -> list[str]:
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100) if most / step <= 5)
    return [
        f'<path d="M{LEFT},{y(value):.1f}H{WIDTH - RIGHT}" stroke="{FAINT}" stroke-width="0.7"/>'
        f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end" fill="#59636e">{value}</text>'
        for value in range(0, most + 1, step)
    ]


def _second(at: int, x: float) -> str:
    return f'<text x="{x:.1f}" y="{PODS_BOTTOM + 18}" text-anchor="middle" fill="#59636e">{at} s</text>'


def _labels(threads: float, wanted: float, pods: float) -> list[str]:
    """Names at the ends of the lines, kept apart; the clients ask one request after the other."""
    wanted = max(wanted, threads + 15)
    named = ((threads, "slots", BLUE), (wanted, "clients", ORANGE), (pods, "pods", GREEN))
    return [
        f'<text x="{WIDTH - RIGHT + 8}" y="{y + 4:.1f}" fill="{colour}" font-weight="600">{text}</text>'
        for y, text, colour in named
    ]


def main() -> None:
    recording = HERE / "scaling.ndjson"
    if len(sys.argv) > 1:
        moments = [Moment(**json.loads(line)) for line in Path(sys.argv[1]).read_text().splitlines()]
    else:
        moments = asyncio.run(record())
        recording.write_text("".join(json.dumps(asdict(moment)) + "\n" for moment in moments))
    (HERE / "scaling.svg").write_text(draw(moments))


if __name__ == "__main__":
    main()
