"""One operator and a large fleet: `python bench/fleet.py [--webservers 2000] [--streams 1000] [--write]`

Everything is CPU time of one process, so a busy machine disturbs it little.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import fleet_decisions as decisions
import fleet_plan
import fleet_streams as streams
import sections

CORES_GOAL, PLAN_GOAL_US = 1.0, 100.0


def report(followed: streams.Streams, made: decisions.Decisions, plan_us: float) -> str:
    """Return the section of RESULTS.md."""
    ingest = made.pods * followed.micros_a_line / 1e6
    deciding = made.webservers * made.micros_a_reconciliation / 1e6
    cores = ingest + deciding
    rows = [
        (
            f"a line of a scoreboard, of {followed.pods:,} real streams",
            f"{followed.micros_a_line:.0f} µs",
            "",
        ),
        ("– of that, without the socket: parser and tally", f"{made.micros_a_line:.0f} µs", ""),
        ("resident memory a stream", f"{followed.kib_a_stream:.0f} KiB", ""),
        (
            "one decision for a WebServer of 100 pods, from a ready snapshot",
            f"{plan_us:.0f} µs",
            _judged(plan_us, PLAN_GOAL_US, "µs"),
        ),
        ("looking at a WebServer of 10 pods at rest", f"{made.micros_a_reconciliation:.0f} µs", ""),
        (f"API writes of {made.webservers:,} WebServers at rest, a round", f"{made.writes}", ""),
        (
            f"{made.webservers:,} WebServers / {made.pods:,} pods at 1 Hz, streams included",
            f"{cores:.2f} cores ({ingest:.2f} to listen, {deciding:.2f} to decide)",
            _judged(cores, CORES_GOAL, " core"),
        ),
        ("resident memory with that fleet, streams not included", f"{made.mib:.0f} MiB", ""),
    ]
    lines = [
        "## One operator and a large fleet",
        "",
        f"`python bench/fleet.py --write`, {sections.machine()}. CPU time of the operator's process, in the "
        f"best of several turns. The {followed.pods:,} streams are real sockets that the operator's own "
        "reader follows; the fleet's lines go through the same parser, tally, caches, reconciler and planner "
        "without sockets, and a table in memory answers for the API server. The cores of the whole "
        "are put together from the cost of a line on a real stream and that of looking at a WebServer.",
        "",
        "| what | seen | goal |",
        "| --- | --- | --- |",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return "\n".join(lines)


def _judged(seen: float, goal: float, unit: str) -> str:
    verdict = "met" if seen <= goal else f"**missed** by {seen / goal - 1:.0%}"
    return f"≤ {goal:g}{unit if unit.startswith(' ') else f' {unit}'}: {verdict}"


def main() -> None:
    """Measure; print or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--webservers", type=int, default=2000)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--write", action="store_true", help="put the report into bench/RESULTS.md")
    options = parser.parse_args()
    followed = streams.measure(options.streams, 20.0)
    plan_us = fleet_plan.measure()
    text = report(followed, decisions.measure(options.webservers), plan_us)
    print(text)
    if options.write:
        sections.write("bench-fleet", text)


if __name__ == "__main__":
    main()
