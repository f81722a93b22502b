"""The planner on a real cluster: `python bench/policy_cluster.py TRACE [--minutes 10] [--steps 20] [--write]`

Starts a cluster of its own (or uses --cluster NAME), installs the chart, and measures how soon a step of load
is answered, and a piece of a trace beside what the simulator predicted and beside an HPA on CPU. What was
seen is kept in --out, part by part; `--only report` shows it again and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "cluster"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "e2e"))

import sections
from live import replay, report, steps
from live.metrics_server import metrics_server
from live.stage import Stage
from product import install, uninstall
from testcluster import lifecycle
from testcluster.cluster import Cluster

from mpm_operator.simulator.trace import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTS = ("steps", *replay.OURS, *replay.HPA)
REPORT = "report"
START_S = 600
"""Where in the trace the piece begins."""


def main() -> None:
    """Measure the parts asked for; keep what was seen; print or write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trace", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--only", choices=(*PARTS, REPORT), action="append", help="leave out the other parts")
    parser.add_argument("--cluster", help="use this running cluster as it is, and leave it running")
    parser.add_argument("--out", type=Path, default=Path("bench/results/cluster.json"))
    parser.add_argument("--write", action="store_true", help="put the report into bench/RESULTS.md")
    options = parser.parse_args()
    found: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    if options.only != [REPORT]:
        found = look(options, found)
    text = report.section(found)
    print(text)
    if options.write:
        sections.write("bench-cluster", text)


def look(options: argparse.Namespace, found: dict[str, Any]) -> dict[str, Any]:
    """Measure the parts asked for; return them beside what was found before."""
    site = lifecycle.Site(options.cluster or "bench")
    if not options.cluster:
        lifecycle.up(site)
    try:
        rates = parse(options.trace.read_text().splitlines(), str(options.trace))
        piece = replay.scaled(rates, round(60 * options.minutes), START_S)
        for part in options.only or PARTS:
            found |= measure(part, site, piece, options.steps)
            found |= {"trace": options.trace.stem, "machine": sections.machine()}
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(found, indent=1))
    finally:
        if not options.cluster:
            lifecycle.down(site)
    return found


def measure(part: str, site: lifecycle.Site, rates: list[float], count: int) -> dict[str, Any]:
    """Measure one part in a namespace of its own."""
    cluster = Cluster.at(site)
    with namespace(cluster, f"live-{part}") as name:
        stage = Stage(cluster, site, name)
        watches = stage.watch()
        try:
            if part in replay.HPA:
                with tempfile.TemporaryDirectory() as folder, metrics_server(cluster, Path(folder)):
                    return {part: asdict(replay.with_hpa(stage, part, rates)), "seconds": len(rates)}
            install(cluster)
            try:
                if part == "steps":
                    return {"steps": steps.measure(stage, count)}
                seen = replay.with_operator(stage, part, rates)
                said = replay.predicted(part, rates, seen)
                return {part: asdict(seen), f"{part} predicted": asdict(said), "seconds": len(rates)}
            finally:
                cluster.kubectl("delete", "webservers", "--all", f"--namespace={name}", "--wait=false")
                uninstall(cluster)
        finally:
            for watch in watches:
                watch.end()


@contextmanager
def namespace(cluster: Cluster, name: str) -> Iterator[str]:
    with suppress(Exception):
        cluster.delete_namespace(name, wait=True)
    cluster.create_namespace(name)
    try:
        yield name
    finally:
        cluster.delete_namespace(name)


if __name__ == "__main__":
    main()
