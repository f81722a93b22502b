"""Rows into Markdown: goals met or missed, comparisons at equal violations, ablations, every table."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from statistics import mean, median
from typing import TYPE_CHECKING

from policy_designs import TARGETS
from policy_jobs import FORMULAS, OURS, STEP

from mpm_operator.simulator.scenario import Balancer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from policy_jobs import Job, Row

SMOOTH_GOAL, GOAL = 0.5, 1.0
SMOOTH = ("diurnal", "diurnal-2")
FLAPS_GOAL, NOISY_FLAPS_GOAL = 2.0, 5.0
PARITY, SAVING = 1.03, 0.90
OVERSHOOT_GOAL = 1.3


def goal_of(trace: str) -> float:
    """Return the most violations of a trace, in percent of its requests."""
    return SMOOTH_GOAL if trace in SMOOTH else GOAL


@dataclass(frozen=True, slots=True)
class Verdict:
    """One goal and what was seen; `met` is None when it was not measured."""

    goal: str
    seen: str
    met: bool | None


@dataclass(slots=True)
class Runs:
    """All rows by what was run; every figure is a median over the seeds."""

    rows: dict[tuple[str, str, Balancer, str, float], list[Row]] = field(default_factory=dict)
    """(setting, trace, balancer, policy, target) → one row a seed."""

    def add(self, job: Job, row: Row) -> None:
        key = (job.setting, job.place, job.balancer, job.policy, job.target)
        self.rows.setdefault(key, []).append(row)

    def get(self, trace: str, balancer: Balancer, policy: str, target: float, setting: str = "") -> list[Row]:
        return self.rows.get((setting, trace, balancer, policy, target), [])

    def targets(self, trace: str, balancer: Balancer, policy: str) -> list[float]:
        return [key[4] for key in self.rows if key[:4] == ("", trace, balancer, policy)]

    @property
    def count(self) -> int:
        return sum(len(rows) for rows in self.rows.values())

    @property
    def traces(self) -> list[str]:
        return list(dict.fromkeys(key[1] for key in self.rows if not key[0]))

    @property
    def settings(self) -> list[str]:
        return list(dict.fromkeys(key[0] for key in self.rows if key[0]))


def middle(rows: Iterable[Row], name: str) -> float:
    """Return the median of a figure over the seeds."""
    return float(median(getattr(row, name) for row in rows))


def spread(rows: Sequence[Row], name: str, digits: int) -> str:
    """Return median and range; the median alone where all are equal."""
    values = [getattr(row, name) for row in rows]
    told = f"{median(values):.{digits}f}"
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return told if low == high else f"{told} [{low}–{high}]"


# -- comparisons


@dataclass(frozen=True, slots=True)
class Tuned:
    """A peer at the target that somebody with all foresight would have chosen."""

    target: float
    violations: float
    pod_seconds: float
    fits: bool
    """Its violations are within what was allowed; else this is its target with the fewest."""


def tuned(choices: dict[float, tuple[float, float]], allowed: float) -> Tuned:
    """Return the cheapest of target → (violations, pod-seconds) within `allowed` violations."""
    fitting = [target for target, (violations, _) in choices.items() if violations <= allowed]
    if fitting:
        best = min(fitting, key=lambda target: choices[target][1])
    else:
        best = min(choices, key=lambda target: choices[target])
    return Tuned(best, *choices[best], fits=bool(fitting))


def tuned_per_trace(runs: Runs, trace: str, balancer: Balancer, peer: str) -> Tuned | None:
    """Return the peer at its cheapest target that meets the trace's goal, or violates no more than ours."""
    choices = {
        target: (middle(rows, "violations"), middle(rows, "pod_seconds"))
        for target in runs.targets(trace, balancer, peer)
        if (rows := runs.get(trace, balancer, peer, target))
    }
    ours = runs.get(trace, balancer, OURS, 0.0)
    if not choices:
        return None
    return tuned(choices, max(goal_of(trace), middle(ours, "violations") if ours else 0.0))


def chosen(runs: Runs, trace: str, balancer: Balancer, peer: str) -> set[float]:
    """Return the targets of a peer that a table will name: for this place, and over all traces."""
    found = [tuned_per_trace(runs, trace, balancer, peer)]
    if peer in FORMULAS:
        found += [one_target(runs, (balancer,), peer), one_target(runs, tuple(Balancer), peer)]
    return {best.target for best in found if best is not None}


def over_all(runs: Runs, balancers: Sequence[Balancer], peer: str, target: float) -> tuple[float, float]:
    """Return mean violations and total pod-seconds of one setting over all traces and these balancers."""
    rows = [runs.get(trace, balancer, peer, target) for trace, balancer in product(runs.traces, balancers)]
    assert all(rows)
    return mean(middle(row, "violations") for row in rows), sum(middle(row, "pod_seconds") for row in rows)


def one_target(runs: Runs, balancers: Sequence[Balancer], peer: str) -> Tuned | None:
    """Return the peer at the one target that is best over all traces: within the mean of their goals."""
    common = set.intersection(*(set(TARGETS[balancer]) for balancer in balancers))
    if not runs.traces:
        return None
    choices = {
        target: over_all(runs, balancers, peer, target)
        for target in sorted(common)
        if all(runs.get(trace, b, peer, target) for trace, b in product(runs.traces, balancers))
    }
    if not choices:
        return None
    return tuned(choices, mean(goal_of(trace) for trace in runs.traces))


# -- goals


def verdicts(runs: Runs) -> Iterator[Verdict]:
    """Judge every goal that the simulator can judge."""
    for trace, balancer in product(runs.traces, Balancer):
        if not (rows := runs.get(trace, balancer, OURS, 0.0)):
            continue
        where = f"{trace}, {balancer.value}"
        seen = middle(rows, "violations")
        most = goal_of(trace)
        yield Verdict(
            f"{where}: waits > 250 ms ≤ {most:g} %", f"{spread(rows, 'violations', 3)} %", seen <= most
        )
        most = NOISY_FLAPS_GOAL if trace == "noisy" else FLAPS_GOAL
        seen = middle(rows, "flaps")
        yield Verdict(f"{where}: flaps an hour ≤ {most:g}", spread(rows, "flaps", 0), seen <= most)
        if trace == STEP:
            ratio = middle(rows, "peak") / rows[0].needed
            yield Verdict(
                f"{where}: peak ≤ {OVERSHOOT_GOAL:g} × needed", f"{ratio:.2f} ×", ratio <= OVERSHOOT_GOAL
            )
    for peer in FORMULAS:
        yield _parity(runs, peer)
    for peer in FORMULAS:
        yield _saving(runs, peer)


def _parity(runs: Runs, peer: str) -> Verdict:
    """Judge the worst place against a peer that was tuned for each trace."""
    ratios = {}
    for trace, balancer in product(runs.traces, Balancer):
        best, rows = tuned_per_trace(runs, trace, balancer, peer), runs.get(trace, balancer, OURS, 0.0)
        if best is not None and rows:
            ratios[f"{trace}, {balancer.value}"] = middle(rows, "pod_seconds") / best.pod_seconds
    goal = f"pod-seconds ≤ {PARITY - 1:+.0%} of {peer}, tuned for each trace and balancer"
    if not ratios:
        return Verdict(goal, "not measured", None)
    worst = max(ratios, key=lambda place: ratios[place])
    within = sum(ratio <= PARITY for ratio in ratios.values())
    usual = f"median {median(ratios.values()) - 1:+.0%}, {within} of {len(ratios)} within"
    seen = f"worst {ratios[worst] - 1:+.0%} ({worst}), {usual}"
    return Verdict(goal, seen, ratios[worst] <= PARITY)


def _saving(runs: Runs, peer: str) -> Verdict:
    """Judge against a peer with one target for all traces and both balancers."""
    goal = f"pod-seconds ≤ {SAVING - 1:+.0%} of {peer} at one target over all"
    best = one_target(runs, tuple(Balancer), peer)
    there = all(runs.get(trace, b, OURS, 0.0) for trace, b in product(runs.traces, Balancer))
    if best is None or not there:
        return Verdict(goal, "not measured", None)
    violations, mine = over_all(runs, tuple(Balancer), OURS, 0.0)
    ratio = mine / best.pod_seconds
    note = "" if best.fits else ", which is its least"
    theirs = f"target {best.target:g} ({best.violations:.2f} % violations{note}; ours {violations:.2f} %)"
    seen = f"{ratio - 1:+.0%} against {theirs}"
    return Verdict(goal, seen, ratio <= SAVING)


def goals(found: Iterable[Verdict]) -> str:
    """Return the table of goals."""
    words = {True: "met", False: "**missed**", None: "not measured"}
    lines = ["| goal | seen |  |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {v.goal} | {v.seen} | {words[v.met]} |" for v in found)])
