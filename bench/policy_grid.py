"""Traces × policies × targets × seeds through the simulator; writes the tables of the policy benchmark.

    python bench/policy_grid.py --out bench/results/policy TRACE... [--seeds 5] [--jobs 2] [--design] [--real]

TRACE files may also be named by MPM_TRACES (separated by `:`); a 5× step is always among them. Each peer runs
at several targets: its default, and the best for each trace, chosen afterwards: nobody can know it before.
The peers are formulas; with --real they are their own code (`policy_real`, needs Go): same figures, slower.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

import policy_peers as peers
import policy_real as real

from mpm_operator.core.directives import normalise
from mpm_operator.core.planner import plan
from mpm_operator.core.spec import App, MPMDirectives, WebServerSpec
from mpm_operator.simulator.run import simulate
from mpm_operator.simulator.scenario import Balancer, Distribution, Episode, Scenario
from mpm_operator.simulator.trace import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mpm_operator.core.effective import Effective
    from mpm_operator.core.plan import Plan
    from mpm_operator.core.snapshot import Snapshot
    from mpm_operator.simulator.policy import Policy

STEP = "step"
STEP_RATES = (60.0,) * 300 + (300.0,) * 600 + (60.0,) * 300
TARGETS = {Balancer.RANDOM: (0.55, 0.6, 0.65, 0.7, 0.75), Balancer.LEAST_BUSY: (0.7, 0.75, 0.8, 0.85, 0.9)}
DEFAULT_TARGET = 0.7

PEERS: dict[str, Callable[[float], Policy]] = {
    "KPA": peers.KPA,
    # KEDA over Prometheus asks the HPA for ceil(total / target): the same figures, the same line.
    "HPA, KEDA": peers.HPA,
    "KEDA-HTTP": lambda target: peers.HPA(target, metric="in-flight", total=True, lag=1.0),
    "Fixed": peers.Fixed,
}
REAL: Mapping[str, Callable[[float], real.KPA | real.HPA]] = {
    "KPA": real.KPA,
    "HPA, KEDA": real.HPA,
    "KEDA-HTTP": lambda target: real.HPA(target, metric="in-flight", total=True, lag=1.0),
}
WARM_UP_S = 600
"""Twice the window of the HPA, so that nobody carries the beginning into the measured time."""


def without_queue(snapshot: Snapshot, now: float) -> Plan:
    """The planner, blind for what waits."""
    pods = tuple(
        pod if pod.report is None else replace(pod, report=replace(pod.report, queue=0))
        for pod in snapshot.pods
    )
    return plan(replace(snapshot, pods=pods), now)


def without_victims(snapshot: Snapshot, now: float) -> Plan:
    """The planner, with the ReplicaSet choosing who goes: the youngest."""
    made = plan(snapshot, now)
    return replace(made, replicas=made.desired, quiesce=(), victims=(), resume=())


OURS: dict[str, Policy] = {
    "mpm": plan,
    "mpm, no queue term": without_queue,
    "mpm, newest first": without_victims,
}
NO_BURST = "mpm, no burst"


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    trace: str
    policy: str
    target: float
    """0 for policies that have none."""
    balancer: Balancer
    seed: int
    slots: int = 25
    service_s: float = 1.0
    startup_s: float = 8.0
    distribution: Distribution = Distribution.EXPONENTIAL
    slow: bool = False
    """Service takes twice as long in the middle fifth of the trace."""
    clients: int = 0
    real: bool = False
    """The peer's own code in place of its formula, where there is one."""


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of a run that go into tables."""

    violations: float
    cost: float
    peak: int
    needed: int
    flaps: float
    victims: int
    writes: int
    lost: int


def rates_of(trace: str) -> tuple[float, ...]:
    """Return the rates of a file, or of the step."""
    if trace == STEP:
        return STEP_RATES
    with open(trace, encoding="utf-8") as lines:
        return parse(lines, trace)


def directives(slots: int, burst: bool) -> Effective:
    """Return directives without limits that matter; without burst, ThreadLimit is ThreadsPerChild."""
    mpm = MPMDirectives(
        threads_per_child=slots, max_request_workers=1000 * slots, thread_limit=None if burst else slots
    )
    return normalise(WebServerSpec(app=App(module="app:app"), mpm=mpm))[0]


def run(job: Job) -> tuple[Job, Row]:
    """Run one job."""
    rates = rates_of(job.trace)
    length = len(rates)
    scenario = Scenario(
        service_s=job.service_s,
        distribution=job.distribution,
        startup_s=job.startup_s,
        balancer=job.balancer,
        seed=job.seed,
        warm_up_s=WARM_UP_S,
        clients=job.clients,
        episodes=(Episode(0.4 * length, 0.6 * length, 2.0),) if job.slow else (),
    )
    policy = _policy(job)
    # Peers get pods as their users run them: with the threads they were given.
    burst = job.policy in OURS
    result = simulate(rates, directives(job.slots, burst), scenario, policy)
    if isinstance(policy, real.KPA | real.HPA):
        policy.pipe.close()
    return job, Row(
        violations=result.violations_percent,
        cost=result.cost,
        peak=result.peak_pods,
        needed=result.needed_peak_pods,
        flaps=result.flaps_per_hour,
        victims=result.in_flight_on_victims,
        writes=result.api_writes,
        lost=result.lost,
    )


def _policy(job: Job) -> Policy:
    if job.policy == "Apache":
        return peers.Apache()
    if job.real and job.policy in REAL:
        return REAL[job.policy](job.target)
    return PEERS[job.policy](job.target) if job.policy in PEERS else OURS.get(job.policy, plan)


def full_grid(traces: Iterable[str], seeds: int) -> list[Job]:
    """Every policy at every target on every trace under both balancers."""
    lone = [*OURS, NO_BURST, "Apache"]
    return [
        Job(trace, policy, target, balancer, seed)
        for trace in traces
        for balancer in Balancer
        for policy, target in [
            *((name, 0.0) for name in lone),
            *((name, target) for name in PEERS for target in TARGETS[balancer]),
        ]
        for seed in range(1, seeds + 1)
    ]


def sampled_design(traces: Sequence[str], seeds: int) -> list[Job]:
    """One change at a time from the grid's setting, and two corners; ours, and the peers at their default."""
    changes: list[dict[str, object]] = [
        {"slots": 5},
        {"slots": 64},
        {"startup_s": 2.0},
        {"startup_s": 30.0},
        {"distribution": Distribution.LOGNORMAL},
        {"slow": True},
        {"clients": 500},
        {"slots": 5, "startup_s": 30.0, "distribution": Distribution.LOGNORMAL},
        {"slots": 64, "startup_s": 30.0, "slow": True},
    ]
    policies = [("mpm", 0.0), (NO_BURST, 0.0), *((name, DEFAULT_TARGET) for name in PEERS)]
    return [
        replace(Job(trace, policy, target, Balancer.RANDOM, seed), **change)  # type: ignore[arg-type]
        for trace in traces
        for change in changes
        for policy, target in policies
        for seed in range(1, seeds + 1)
    ]


Group = dict[tuple[str, str, Balancer, str, float], list[Row]]
"""(setting, trace, balancer, policy, target) → one row a seed."""


def setting(job: Job) -> str:
    """Name what differs from the grid's setting."""
    plain = Job(job.trace, job.policy, job.target, job.balancer, job.seed, real=job.real)
    told = asdict(job)
    return ", ".join(f"{key}={told[key]}" for key, value in asdict(plain).items() if told[key] != value)


def grouped(done: Iterable[tuple[Job, Row]]) -> Group:
    """Put the seeds of one setting together."""
    groups: Group = {}
    for job, row in done:
        key = (setting(job), Path(job.trace).stem, job.balancer, job.policy, job.target)
        groups.setdefault(key, []).append(row)
    return groups


def best_target(rows: dict[float, list[Row]], violations: float) -> float:
    """Return the cheapest target among those with no more violations; else the one with the fewest."""
    fitting = [target for target, runs in rows.items() if _median(runs, "violations") <= violations]
    if fitting:
        return min(fitting, key=lambda target: _median(rows[target], "cost"))
    return min(rows, key=lambda target: _median(rows[target], "violations"))


def tables(groups: Group) -> str:
    """Return Markdown: one table for each setting, trace and balancer."""
    places = dict.fromkeys((name, trace, balancer) for name, trace, balancer, _, _ in groups)
    parts = []
    for name, trace, balancer in places:
        here = {key[3:]: rows for key, rows in groups.items() if key[:3] == (name, trace, balancer)}
        title = f"{trace}, {balancer.value} balancer" + (f", {name}" if name else "")
        parts.append(_table(title, here))
    return "\n\n".join(parts) + "\n"


def _table(title: str, here: dict[tuple[str, float], list[Row]]) -> str:
    lines = [
        f"### {title}",
        "",
        "| policy | violations % | pod-seconds / ideal | peak (needed) | flaps/h | on victims | writes |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    ours = _median(here["mpm", 0.0], "violations")
    for policy in dict.fromkeys(policy for policy, _ in here):
        rows = {target: runs for (name, target), runs in here.items() if name == policy}
        if len(rows) == 1:
            ((target, runs),) = rows.items()
            lines.append(_line(policy if not target else f"{policy} {target:g}", runs))
            continue
        best = best_target(rows, max(ours, 0.05))
        lines.append(_line(f"{policy} {DEFAULT_TARGET:g} (default)", rows[DEFAULT_TARGET]))
        lines.append(_line(f"{policy} {best:g} (best here)", rows[best]))
    return "\n".join(lines)


def _line(name: str, runs: list[Row]) -> str:
    cells = [
        name,
        f"{_spread(runs, 'violations', 3)}",
        f"{_spread(runs, 'cost', 2)}",
        f"{_median(runs, 'peak'):.0f} ({runs[0].needed})",
        f"{_spread(runs, 'flaps', 0)}",
        f"{_median(runs, 'victims'):.0f}",
        f"{_median(runs, 'writes'):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _median(runs: list[Row], field: str) -> float:
    return float(median(getattr(row, field) for row in runs))


def _spread(runs: list[Row], field: str, digits: int) -> str:
    values = [getattr(row, field) for row in runs]
    return f"{median(values):.{digits}f} [{min(values):.{digits}f}–{max(values):.{digits}f}]"


def main() -> None:
    """Run, and write `OUT.json` (every run) and `OUT.md` (the tables)."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "traces", nargs="*", default=[t for t in os.environ.get("MPM_TRACES", "").split(":") if t]
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--design", action="store_true", help="the sampled design in place of the full grid")
    parser.add_argument("--real", action="store_true", help="the peers' own code in place of their formulas")
    options = parser.parse_args()
    if options.real:
        real.build()
    traces = [*options.traces, STEP]
    design = sampled_design if options.design else full_grid
    jobs = [replace(job, real=options.real) for job in design(traces, options.seeds)]
    began = time.monotonic()
    with multiprocessing.Pool(options.jobs) as pool:
        done = []
        for number, outcome in enumerate(pool.imap(run, jobs, chunksize=4), start=1):
            done.append(outcome)
            if number % 50 == 0:
                print(f"{number} of {len(jobs)}, {time.monotonic() - began:.0f} s", file=sys.stderr)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".md").write_text(tables(grouped(done)), encoding="utf-8")
    runs = [{**asdict(job), "trace": Path(job.trace).stem, **asdict(row)} for job, row in done]
    options.out.with_suffix(".json").write_text(json.dumps(runs), encoding="utf-8")
    print(f"{len(jobs)} runs in {time.monotonic() - began:.0f} s: {options.out.with_suffix('.md')}")


if __name__ == "__main__":
    main()
