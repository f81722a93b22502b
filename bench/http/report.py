"""Figures into Markdown: one table a scenario, and for each goal whether it is met."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OURS, AGAIN, PURE = "mpm-worker", "mpm-worker again", "mpm-worker pure"
THREADED = ("granian", "uWSGI", "gunicorn", "waitress", "cheroot")
BEGIN, END = "<!-- bench-http: begin -->", "<!-- bench-http: end -->"

Values = dict[str, float]
"""One figure of one server, by round."""


class Results:
    """`data[scenario][case][server][figure][round]`."""

    def __init__(self, data: dict[str, dict[str, dict[str, dict[str, Values]]]]) -> None:
        self.data = data

    def add(self, scenario: str, case: str, server: str, figure: str, round_: int, value: float) -> None:
        case_data = self.data.setdefault(scenario, {}).setdefault(case, {})
        case_data.setdefault(server, {}).setdefault(figure, {})[str(round_)] = value

    def values(self, scenario: str, case: str, server: str, figure: str) -> Values:
        return self.data.get(scenario, {}).get(case, {}).get(server, {}).get(figure, {})

    def median(self, scenario: str, case: str, server: str, figure: str) -> float | None:
        values = self.values(scenario, case, server, figure)
        return statistics.median(values.values()) if values else None

    def ratios(self, scenario: str, case: str, figure: str, mine: str, other: str) -> list[float]:
        """Paired: only what was measured in the same round is compared."""
        a, b = (self.values(scenario, case, server, figure) for server in (mine, other))
        return [a[round_] / b[round_] for round_ in a if b.get(round_)]


# -- tables


def table(results: Results, scenario: str) -> str:
    cases = results.data[scenario]
    columns = [(case, figure) for case in cases for figure in _figures(cases[case])]
    head = ["server", *(f"{case}: {_TITLES.get(figure, figure)}" for case, figure in columns)]
    servers = list(dict.fromkeys(server for case in cases.values() for server in case))
    servers.sort(key=lambda server: not server.startswith(OURS))
    lines = [_line(head), _line(["---"] * len(head))]
    for server in servers:
        cells = [_cell(cases[case].get(server, {}), figure) for case, figure in columns]
        lines.append(_line([f"**{server}**" if server == OURS else server, *cells]))
    return "\n".join(lines)


_TITLES = {
    "cpu_us": "µs CPU/request",
    "rps": "requests/s",
    "p99": "p50/p99 ms",
    "failed": "failed",
    "starved": "clients without an answer",
    "kib": "KiB a connection",
    "alive": "still open",
    "p99 before": "p99 without them, ms",
    "start_ms": "ms to first answer",
    "pss": "PSS MiB started",
    "pss_served": "PSS MiB after load",
}


def _figures(case: dict[str, dict[str, Values]]) -> list[str]:
    names = list(dict.fromkeys(name for figures in case.values() for name in figures if name != "p50"))
    failed = any(any(figures.get("failed", {}).values()) for figures in case.values())
    return [name for name in names if name != "failed" or failed]


def _cell(figures: dict[str, Values], name: str) -> str:
    values = list(figures.get(name, {}).values())
    if not values:
        return "–"
    middle = statistics.median(values)
    if name == "p99" and "p50" in figures:
        return f"{statistics.median(figures['p50'].values()):.2g}/{_short(middle)}"
    if name == "rps" and len(values) > 1:
        return f"{_short(middle)} [{_short(min(values))}–{_short(max(values))}]"
    return _short(middle)


def _short(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:.1f}k"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


# -- goals


@dataclass(frozen=True)
class Verdict:
    """One goal: what was wanted and what was seen. `met` is None when it was not measured."""

    goal: str
    seen: str
    met: bool | None


def verdicts(results: Results) -> Iterator[Verdict]:
    for scenario, words in (
        ("hello", "hello, 1 header"),
        ("hello12", "hello, 12 headers"),
        ("logged", "hello, logs on"),
    ):
        yield _best(
            results, scenario, "c=32", "cpu_us", 0.8, f"{words}, c=32: CPU ≤ 0.8 × best threaded peer"
        )
        for case in ("c=32", "c=256"):
            yield _best(results, scenario, case, "rps", 1.0, f"{words}, {case}: more requests/s than each")
    goal = "hello, 12 headers, 64 requests in turn: CPU ≤ 0.8 × best threaded peer"
    yield _best(results, "hello-varied", "c=32", "cpu_us", 0.8, goal)
    yield _best(results, "hello-c1", "c=1", "rps", 1.0, "hello, c=1: no fewer requests/s than each")
    yield _best(
        results,
        "prefork",
        "c=8",
        "cpu_us",
        1.0,
        "hello, prefork: CPU ≤ 1.0 × bjoern and fastwsgi",
        ("bjoern", "fastwsgi"),
    )
    yield from _sleeping(results)
    for scenario, most in (("beside-sleep", 5.0), ("beside-cpu", 12.0)):
        words = "beside 50 ms" if scenario == "beside-sleep" else "beside 5 ms of CPU"
        yield _bound(results, scenario, "fast, c=16", "p99", most, f"fast path {words}: p99 ≤ {most:g} ms")
        yield _best(results, scenario, "fast, c=16", "rps", 1.0, f"fast path {words}: requests/s ≥ each peer")
    yield _bound(
        results, "beside-sleep", "slow, c=8", "rps", -152, "slow path at its ideal (≥ 95 % of 160/s)"
    )
    for scenario, words in (("flask", "Flask JSON"), ("file", "1 MiB file"), ("echo", "100 KiB POST")):
        yield _best(results, scenario, "c=32", "cpu_us", 1.0, f"{words}: less CPU than each threaded peer")
    yield _best(results, "file", "c=32", "cpu_us", 1.3, "1 MiB file: CPU ≤ 1.3 × nginx", ("nginx",))
    yield _bound(results, "idle", "10,000 idle", "kib", 4, "idle connections: ≤ 4 KiB each")
    yield _bound(results, "idle", "10,000 idle", "alive", -10000, "idle connections: none closed")
    yield _against_itself(results)
    yield _bound(results, "start", "2×16", "pss", 41, "memory started: ≤ 41 MiB PSS")
    yield _bound(results, "start", "2×16", "start_ms", 250, "start to first answer: ≤ 250 ms")


def _best(
    results: Results,
    scenario: str,
    case: str,
    figure: str,
    bound: float,
    goal: str,
    rivals: tuple[str, ...] = THREADED,
) -> Verdict:
    """Against the strongest rival: of CPU the least, of requests the most."""
    less = figure == "cpu_us"
    pairs = {}
    for rival in rivals:
        if ratios := results.ratios(scenario, case, figure, OURS, rival):
            pairs[rival] = statistics.median(ratios)
    if not pairs:
        return Verdict(goal, "", None)
    rival, ratio = (max if less else min)(pairs.items(), key=lambda pair: pair[1])
    twin = results.ratios(scenario, case, figure, OURS, AGAIN)
    spread = f"; A/A {min(twin):.2f}–{max(twin):.2f}" if twin else ""
    met = ratio <= bound if less else ratio >= bound
    missed = "" if met else f", missed by {abs(ratio / bound - 1):.0%}"
    return Verdict(goal, f"{ratio:.2f} × {rival}{missed}{spread}", met)


def _bound(results: Results, scenario: str, case: str, figure: str, bound: float, goal: str) -> Verdict:
    """At most `bound`; at least, when it is negative."""
    seen = results.median(scenario, case, OURS, figure)
    if seen is None:
        return Verdict(goal, "", None)
    met = seen <= bound if bound > 0 else seen >= -bound
    missed = "" if met else f", missed by {abs(seen / abs(bound) - 1):.0%}"
    return Verdict(goal, f"{_short(seen)}{missed}", met)


def _sleeping(results: Results) -> Iterator[Verdict]:
    took = results.median("sleep", "app alone", OURS, "ms")
    if took is None:
        return
    for count, ideal in ((32, took), (256, took * 256 / 32)):
        case, most = f"c={count}", 32 / took * 1000
        goal = f"10 ms app, {case}: ≥ 97 % of {most:.0f}/s"
        yield _bound(results, "sleep", case, "rps", -0.97 * most, goal)
        goal = f"10 ms app, {case}: p99 ≤ {1.3 * ideal:.1f} ms"
        yield _bound(results, "sleep", case, "p99", 1.3 * ideal, goal)
    starved = results.median("sleep", "256 clients", OURS, "starved")
    if starved is not None:
        yield Verdict("10 ms app, 256 clients: none starved", f"{starved:.0f}", starved == 0)


def _against_itself(results: Results) -> Verdict:
    goal = "idle connections: p99 of hello within 20 % of without"
    before = results.median("idle", "10,000 idle", OURS, "p99 before")
    after = results.median("idle", "10,000 idle", OURS, "p99")
    if not before or after is None:
        return Verdict(goal, "", None)
    return Verdict(goal, f"{after:.1f} against {before:.1f} ms", after <= 1.2 * before)


def goals(results: Results) -> str:
    lines = [_line(["goal", "seen", ""]), _line(["---"] * 3)]
    words: dict[bool | None, str] = {True: "met", False: "**missed**", None: "not measured"}
    lines += [_line([each.goal, each.seen, words[each.met]]) for each in verdicts(results)]
    return "\n".join(lines)


# -- the page


def write(page: Path, section: str) -> None:
    """Put `section` between the markers of the page; what others wrote there stays."""
    text = page.read_text() if page.exists() else "# Results\n"
    block = f"{BEGIN}\n{section.strip()}\n{END}"
    if BEGIN in text:
        replaced: Callable[[re.Match[str]], str] = lambda _: block  # noqa: E731 - no escapes are read in it
        text = re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", replaced, text, flags=re.DOTALL)
    else:
        text = f"{text.rstrip()}\n\n{block}\n"
    page.write_text(text)
