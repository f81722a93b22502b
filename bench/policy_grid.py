"""Traces × policies × targets × seeds through the simulator: `make bench-policy`.

    python bench/policy_grid.py TRACE... [--seeds 5] [--jobs 2] [--minutes 60] [--write] [--resume]

TRACE files may also be named by MPM_TRACES (separated by `:`); a 5× step is always among them. Each peer runs
at several targets: its default, and the best for each trace, chosen afterwards: nobody can know it before.
The peers are Knative's and Kubernetes' own code (`policy_real`, needs Go); without Go, or with --formulas,
their formulas: the same figures. Every run is kept in OUT.jsonl as it ends; --resume takes up from there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

import policy_designs as designs
import policy_page as page
import policy_real as real
from policy_jobs import FORMULAS, STEP, WITH_BURST, Job, Row, run
from policy_report import Runs, chosen
from sections import write

if TYPE_CHECKING:
    from collections.abc import Sequence

PEERS = {*FORMULAS, WITH_BURST}
SAMPLED = ("bursty", STEP)
"""Traces of the sampled design, by name."""


def remembered(file: Path, jobs: Sequence[Job]) -> dict[str, Row]:
    """Return the rows of an earlier run that are among `jobs`."""
    wanted = {job.key for job in jobs}
    rows = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        told = json.loads(line)
        if told["key"] in wanted:
            rows[told["key"]] = Row(**told["row"])
    return rows


def measure(jobs: Sequence[Job], file: Path, processes: int, until: float) -> None:
    """Run the jobs and append each to `file`; begin none after `until` (monotonic)."""
    began = time.monotonic()
    if began >= until:
        return
    with file.open("a", encoding="utf-8") as out, multiprocessing.Pool(processes) as pool:
        for number, (job, row) in enumerate(pool.imap(run, jobs), start=1):
            out.write(json.dumps({"key": job.key, "row": asdict(row)}) + "\n")
            out.flush()
            if number % 50 == 0:
                print(f"{number} of {len(jobs)}, {time.monotonic() - began:.0f} s", file=sys.stderr)
            if time.monotonic() > until:
                print(f"out of time after {number} of {len(jobs)} runs", file=sys.stderr)
                pool.terminate()
                return


def main() -> None:
    """Run, keep every run, and print or write the report."""
    options = _options()
    use_real = not options.formulas and shutil.which("go") is not None
    if use_real:
        real.build()
    traces = [*options.traces, STEP]
    sampled = [trace for trace in traces if Path(trace).stem in SAMPLED] or traces
    file = options.out.with_suffix(".jsonl")
    file.parent.mkdir(parents=True, exist_ok=True)
    if not options.resume:
        file.unlink(missing_ok=True)
    until = time.monotonic() + 60 * options.minutes

    def stage(jobs: list[Job]) -> Sequence[Job]:
        """Run what the file does not have yet."""
        jobs = [replace(job, real=use_real) for job in jobs]
        rows = remembered(file, jobs)
        wanted = [job for job in jobs if options.only in (None, "peers" if job.policy in PEERS else "ours")]
        measure([job for job in wanted if job.key not in rows], file, options.jobs, until)
        return jobs

    jobs = stage(designs.first(traces, sampled, options.seeds))
    choice = partial(chosen, collected(file, jobs))
    jobs = [*jobs, *stage(designs.last(traces, choice, options.seeds))]
    runs = collected(file, jobs)
    if not runs.count:
        sys.exit(f"no run was made within {options.minutes:g} minutes: there is nothing to report")
    text = page.section(runs, missing=len(jobs) - runs.count, traces=options.traces)
    print(text)
    if options.write:
        write("bench-policy", text)


def collected(file: Path, jobs: Sequence[Job]) -> Runs:
    """Return all that was measured of the jobs."""
    rows, runs = remembered(file, jobs), Runs()
    for job in jobs:
        if job.key in rows:
            runs.add(job, rows[job.key])
    return runs


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "traces", nargs="*", default=[t for t in os.environ.get("MPM_TRACES", "").split(":") if t]
    )
    parser.add_argument("--out", type=Path, default=Path("bench/results/policy"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--only", choices=("peers", "ours"))
    parser.add_argument("--resume", action="store_true", help="keep the runs that OUT.jsonl has")
    parser.add_argument("--formulas", action="store_true", help="the peers' formulas in place of their code")
    parser.add_argument("--write", action="store_true", help="put the report into bench/RESULTS.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
