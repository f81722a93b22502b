"""`make soak`: a steady load on a real cluster while everything changes that can; no request may fail.

It starts a cluster of its own, installs the chart, and prints what was done, what failed and what was going
on then; then the same for gunicorn in a plain Deployment with an HPA. `--write` puts it all into
bench/RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "cluster"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "e2e"))

from product import install, uninstall
from soak import figures, report
from soak.peer import Peer, autoscaled
from soak.scenario import PEER, TENTH, Size, run
from soak.stage import Stage, prepare, watched
from testcluster import lifecycle
from testcluster.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("soak", "peer", "live", "undo")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tenth", action="store_true", help="the size of the test in the suite")
    parser.add_argument("--only", choices=PARTS, action="append", help="leave out the other parts")
    parser.add_argument("--cluster", help="use this running cluster as it is, and leave it running")
    parser.add_argument(
        "--out", type=Path, help="everything seen as JSON; parts that were left out stay in it"
    )
    parser.add_argument("--note", action="append", help="a sentence on this run, for bench/RESULTS.md")
    parser.add_argument("--write", action="store_true", help="write bench/RESULTS.md from all of it")
    options = parser.parse_args()
    found: dict[str, Any] = (
        json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    )
    site = lifecycle.Site(options.cluster or "soak")
    if not options.cluster:
        lifecycle.up(site)
    try:
        for part in options.only or PARTS:
            found[part] = measure(part, site, TENTH if options.tenth else Size())
            print(f"== {part}\n{report.text(found[part])}", flush=True)
            if options.out:
                options.out.write_text(json.dumps(found, indent=1))
    finally:
        if not options.cluster:
            lifecycle.down(site)
    found["notes"] = options.note or []
    if options.write:
        report.write(ROOT / "bench" / "RESULTS.md", found)
    sys.exit(bool(found.get("soak", {}).get("failed")))


def measure(part: str, site: lifecycle.Site, size: Size) -> dict[str, Any]:
    """One part in a namespace of its own; its figures."""
    cluster = Cluster.at(site)
    with own_namespace(cluster) as namespace:
        if part == "peer":
            peer = Peer(cluster, site, namespace)
            with watched(peer):
                peer.prepare()
                with autoscaled(peer):
                    run(peer, PEER)
            return report.figures(peer.record)
        install(cluster)
        try:
            stage = Stage(cluster, site, namespace)
            if part != "soak":
                return {"live": figures.live_change, "undo": figures.undo}[part](stage)
            with watched(stage):
                prepare(stage)
                run(stage, size)
            return report.figures(stage.record)
        finally:
            uninstall(cluster)


@contextmanager
def own_namespace(cluster: Cluster) -> Iterator[str]:
    name = f"soak-{int(time.time())}"
    cluster.create_namespace(name)
    try:
        yield name
    finally:
        cluster.delete_namespace(name)


if __name__ == "__main__":
    main()
