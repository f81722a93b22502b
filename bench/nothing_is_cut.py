"""`make soak`: a steady load on a real cluster while everything changes that can; no request may fail.

It starts a cluster of its own, installs the chart, and prints what was done, what failed and what was going
on then. `--write` puts the figures into bench/RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "cluster"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "e2e"))

from product import install, uninstall
from soak import report
from soak.scenario import TENTH, Size, run
from soak.stage import Stage, prepare, watched
from testcluster import lifecycle
from testcluster.cluster import Cluster

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tenth", action="store_true", help="the size of the test in the suite")
    parser.add_argument("--cluster", help="use this running cluster as it is, and leave it running")
    parser.add_argument("--write", action="store_true", help="write bench/RESULTS.md")
    parser.add_argument("--out", type=Path, help="write everything seen as JSON")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    size = TENTH if options.tenth else Size()
    site = lifecycle.Site(options.cluster or "soak")
    if not options.cluster:
        lifecycle.up(site)
    try:
        found = soak(Cluster.at(site), site, size)
    finally:
        if not options.cluster:
            lifecycle.down(site)
    print(report.text(found))
    if options.out:
        options.out.write_text(json.dumps(found, indent=1))
    if options.write:
        report.write(ROOT / "bench" / "RESULTS.md", found)
    sys.exit(bool(found["failed"]))


def soak(cluster: Cluster, site: lifecycle.Site, size: Size) -> dict[str, object]:
    """Install, run, take away; the figures."""
    install(cluster)
    namespace = f"soak-{int(time.time())}"
    cluster.create_namespace(namespace)
    stage = Stage(cluster, site, namespace)
    try:
        with watched(stage):
            prepare(stage)
            run(stage, size)
    finally:
        cluster.delete_namespace(namespace)
        uninstall(cluster)
    return report.figures(stage.record)


if __name__ == "__main__":
    main()
