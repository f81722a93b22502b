"""Every table of the policy benchmark, as Markdown."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from policy_designs import TARGETS
from policy_jobs import APACHE, DEFAULT_TARGET, FORMULAS, NO_BURST, OURS, PLANNERS, REAL, WITH_BURST
from policy_report import middle, over_all, spread, tuned_per_trace

from mpm_operator.simulator.scenario import Balancer

if TYPE_CHECKING:
    from policy_report import Runs, Tuned


def equal_violations(runs: Runs) -> str:
    """Return ours beside each peer tuned per trace."""
    peers = (*FORMULAS, WITH_BURST)
    lines = [
        "| trace, balancer | ours: violations %, pod-seconds | " + " | ".join(peers) + " |",
        "| --- | --- |" + " --- |" * len(peers),
    ]
    for trace, balancer in product(runs.traces, Balancer):
        rows = runs.get(trace, balancer, OURS, 0.0)
        if not rows:
            continue
        mine = middle(rows, "pod_seconds")
        cells = [f"{trace}, {balancer.value}", f"{middle(rows, 'violations'):.3f}, {mine:,.0f}"]
        for peer in peers:
            best = tuned_per_trace(runs, trace, balancer, peer)
            cells.append("–" if best is None else _beside(best, mine))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _beside(best: Tuned, mine: float) -> str:
    misses = "" if best.fits else " (no target within the goal)"
    return f"{best.target:g}: {best.violations:.2f} %, ours {mine / best.pod_seconds - 1:+.0%}{misses}"


def fixed_targets(runs: Runs) -> str:
    """Return every peer at each single target over all traces, for one balancer and for both."""
    lines = [
        "| policy | target | random: violations %, pod-seconds | least-busy | both |",
        "| --- | --- | --- | --- | --- |",
    ]
    groups = [(Balancer.RANDOM,), (Balancer.LEAST_BUSY,), tuple(Balancer)]
    for policy in (OURS, *FORMULAS):
        targets = [0.0] if policy == OURS else sorted({t for ts in TARGETS.values() for t in ts})
        for target in targets:
            cells = []
            for balancers in groups:
                there = all(
                    runs.get(trace, b, policy, target) for trace, b in product(runs.traces, balancers)
                )
                violations, spent = over_all(runs, balancers, policy, target) if there else (0.0, 0.0)
                cells.append(f"{violations:.2f}, {spent:,.0f}" if there else "–")
            lines.append(f"| {policy} | {f'{target:g}' if target else 'none'} | {' | '.join(cells)} |")
    return "\n".join(lines)


def ablations(runs: Runs) -> str:
    """Return what ours does without each part, as changes of its own figures."""
    lines = [
        "| ours | trace, balancer | violations % | pod-seconds | peak | flaps/h | on victims | writes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for policy in PLANNERS:
        for trace, balancer in product(runs.traces, Balancer):
            rows, whole = (runs.get(trace, balancer, name, 0.0) for name in (policy, OURS))
            if not rows or not whole:
                continue
            spent = middle(rows, "pod_seconds") / middle(whole, "pod_seconds") - 1
            cells = [
                "the whole" if policy == OURS else policy.removeprefix(f"{OURS}, "),
                f"{trace}, {balancer.value}",
                spread(rows, "violations", 3),
                f"{middle(rows, 'pod_seconds'):,.0f}" if policy == OURS else f"{spent:+.1%}",
                *(f"{middle(rows, name):.0f}" for name in ("peak", "flaps", "victims", "writes")),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def design(runs: Runs) -> str:
    """Return the sampled design: violations and cost at other settings."""
    policies = [(OURS, 0.0), (NO_BURST, 0.0), *((peer, DEFAULT_TARGET) for peer in REAL)]
    lines = [
        "| setting | trace | " + " | ".join(name for name, _ in policies) + " |",
        "| --- | --- |" + " --- |" * len(policies),
    ]
    traces = list(dict.fromkeys(key[1] for key in runs.rows if key[0]))
    for setting, trace in product(runs.settings, traces):
        cells = []
        for policy, target in policies:
            rows = runs.get(trace, Balancer.RANDOM, policy, target, setting)
            cells.append(f"{spread(rows, 'violations', 2)} / {middle(rows, 'cost'):.2f}" if rows else "–")
        lines.append(f"| {setting} | {trace} | {' | '.join(cells)} |")
    return "\n".join(lines)


def grid(runs: Runs) -> str:
    """Return the grid: peers at their default and at their best for the trace."""
    lines = [
        "| trace, balancer | policy | violations % | pod-seconds / ideal | peak (needed) | flaps/h "
        "| on victims | writes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for trace, balancer in product(runs.traces, Balancer):
        for policy in (OURS, NO_BURST, *FORMULAS, WITH_BURST, APACHE):
            for target, note in _shown(runs, trace, balancer, policy):
                rows = runs.get(trace, balancer, policy, target)
                cells = [
                    f"{trace}, {balancer.value}",
                    f"{policy}{note}",
                    spread(rows, "violations", 3),
                    spread(rows, "cost", 2),
                    f"{middle(rows, 'peak'):.0f} ({rows[0].needed})",
                    spread(rows, "flaps", 0),
                    f"{middle(rows, 'victims'):.0f}",
                    f"{middle(rows, 'writes'):.0f}",
                ]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(runs: Runs, trace: str, balancer: Balancer, policy: str) -> list[tuple[float, str]]:
    targets = runs.targets(trace, balancer, policy)
    if targets == [0.0]:
        return [(0.0, "")]
    best = tuned_per_trace(runs, trace, balancer, policy)
    shown = [(DEFAULT_TARGET, f" {DEFAULT_TARGET:g} (default)")] if DEFAULT_TARGET in targets else []
    return [*shown, *([(best.target, f" {best.target:g} (best here)")] if best is not None else [])]
