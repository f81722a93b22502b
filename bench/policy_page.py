"""The section of RESULTS.md that `make bench-policy` writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import policy_report as report
import policy_tables as tables
from policy_designs import BURST_TARGETS, TARGETS, TUNING_SEEDS
from policy_estimator import Errors, errors, saturated
from policy_jobs import rates_of
from policy_report import Verdict, goals
from sections import machine

from mpm_operator.simulator.scenario import Balancer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from policy_report import Runs

CONSTANT_RATES = (10.0, 100.0, 300.0)
FLOOR_GOAL, SHARE_GOAL, SHARE_FROM = 1.25, 0.05, 100.0
HOUR_GOAL_S = 10.0

TUNED = """
Each peer at the target that is cheapest for this trace and balancer among those that meet the trace's goal
of violations (or violate no more than ours); where none does, at the one with the fewest. Nothing of ours
is tuned. In a cell: that target, its violations, our pod-seconds against its. The last column is nothing
that can be had: Knative's law with our burst threads, to show what the law alone is worth beside theirs.
"""
ONE = "Mean violations in percent, and pod-seconds of all traces together."
PARTS = """
Ours with one part changed. *No queue term*: blind for requests that wait. *Fixed 70 %*: pods that keep 70
% of the slots busy in place of Erlang's formula. *Newest first*: the ReplicaSet chooses who goes. *No burst
threads*: ThreadLimit = ThreadsPerChild; *no look-ahead* beside it: blind for where the load goes, which
changes nothing where threads can be added. Pod-seconds as a change of the whole's.
"""
OTHER = """
One change at a time from K = 25, start-up 8 s, exponential, random balancer; peers at their default. In a
cell: violations in percent / pod-seconds against ideal.
"""
ESTIMATOR = """
Root mean square error of the arrival rate, which is a mean that forgets over 8 s. *Error*: against the same
mean over the rates that the trace asked for; *floor*: what chance leaves of such a mean over Poisson
arrivals. *Of the instant*: against the rate of the very second; *best mean's*: the same of the best of eight
means from 1 to 128 s, chosen in hindsight over the exact arrivals. `noisy` moves by 6 % from one second to
the next and by 12 % in four: nobody who counts arrivals knows the load of that moment within 5 %, and no pod
that starts in seconds could follow it.
"""
MODEL = """
K = 25 slots a pod, 1 s of service, exponential, start-up 8 s, Poisson arrivals in each second of the trace;
all policies meet the very same requests. A violation is a request that waits more than 250 ms for a slot,
or is lost; ideal pod-seconds are Σ ceil(load / K): all foresight, no chance. Medians over the seeds,
[least–most]. *KPA* and *HPA* are Knative's and Kubernetes' own code behind a pipe (`bench/peers/`); KEDA
over Prometheus asks the HPA for the same number; *KEDA-HTTP* is the HPA on requests in flight, fresh every
second; *Fixed* is the rule of thumb with a mean of 5 s. Peers run pods with the threads they were given;
*KPA, bursting pods* lends it our burst threads.
"""


def flow(text: str) -> str:
    """Return a paragraph as one line."""
    return " ".join(text.split())


def section(runs: Runs, missing: int, traces: Sequence[str]) -> str:
    """Return the whole section; it measures the estimator on `traces` meanwhile."""
    estimates = dict(_estimates(traces))
    found = [*report.verdicts(runs), *_of_estimates(estimates)]
    parts = [
        "## The planner beside other autoscalers, in virtual time",
        _about(runs, missing),
        "### Goals",
        goals(found),
        "### Equal violations: peers tuned for each trace",
        flow(TUNED),
        tables.equal_violations(runs),
        "### One target for everything",
        ONE,
        tables.fixed_targets(runs),
        "### What each part is worth",
        flow(PARTS),
        tables.ablations(runs),
        "### Other settings",
        flow(OTHER),
        tables.design(runs),
        "### The estimator",
        flow(ESTIMATOR),
        _estimator_table(estimates),
        "### The grid",
        tables.grid(runs),
    ]
    return "\n\n".join(parts)


def _about(runs: Runs, missing: int) -> str:
    seeds = sorted({len(rows) for rows in runs.rows.values()})
    told = f"{runs.count} runs; {seeds[-1]} seeds a line, {TUNING_SEEDS} at targets that no peer is best at."
    if missing:
        told = f"{runs.count} runs, {seeds[0]} to {seeds[-1]} seeds a line; {missing} runs were cut."
    random, even = (", ".join(f"{t:g}" for t in TARGETS[balancer]) for balancer in Balancer)
    burst = ", ".join(f"{t:g}" for t in BURST_TARGETS)
    return (
        f"`make bench-policy`, {machine()}. {told} "
        f"{flow(MODEL)} Targets tried: {random} behind the random balancer, {even} behind the least-busy "
        f"one, {burst} with bursting pods."
    )


def _estimates(traces: Sequence[str]) -> Iterator[tuple[str, Errors]]:
    for rate in CONSTANT_RATES:
        yield f"{rate:g} requests/s, constant", errors([rate] * 600)
    yield "120 requests/s before 100 slots", saturated()
    for trace in traces:
        yield Path(trace).stem, errors(rates_of(trace))


def _of_estimates(estimates: dict[str, Errors]) -> Iterator[Verdict]:
    for name, seen in estimates.items():
        ratio = seen.seen / seen.poisson
        goal, met = f"estimator, {name}: rms ≤ {FLOOR_GOAL:g} × floor", ratio <= FLOOR_GOAL
        if seen.mean >= SHARE_FROM:
            goal, met = f"{goal}, ≤ {SHARE_GOAL:.0%}", met and seen.seen <= SHARE_GOAL
        yield Verdict(goal, f"{ratio:.2f} ×, {seen.seen:.1%}", met)
    hours = {name: seen.run_s for name, seen in estimates.items() if seen.length_s >= 3600}
    if hours:
        slowest = max(hours, key=lambda name: hours[name])
        told = f"{hours[slowest]:.1f} s ({slowest})"
        yield Verdict(f"a trace of one hour ≤ {HOUR_GOAL_S:g} s", told, hours[slowest] <= HOUR_GOAL_S)


def _estimator_table(estimates: dict[str, Errors]) -> str:
    lines = ["| load | error | floor | of the instant | best mean's |", "| --- | --- | --- | --- | --- |"]
    rows = (
        f"| {name} | {e.seen:.1%} | {e.poisson:.1%} | {e.instant:.1%} | {e.best:.1%} |"
        for name, e in estimates.items()
    )
    return "\n".join([*lines, *rows])
