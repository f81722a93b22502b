"""Which runs the policy benchmark consists of."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from policy_jobs import APACHE, DEFAULT_TARGET, FORMULAS, NO_BURST, OURS, PLANNERS, REAL, WITH_BURST, Job

from mpm_operator.simulator.scenario import Balancer, Distribution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TARGETS = {
    Balancer.RANDOM: (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8),
    Balancer.LEAST_BUSY: (0.7, 0.75, 0.8, 0.85, 0.9, 0.95),
}
"""Wide enough that each peer meets each goal at the low end and misses it at the high one, where it can."""
TUNING_SEEDS = 2
"""Enough to choose a peer's target by: the spread over seeds is small beside the step between two targets."""
BURST_TARGETS = (0.7, 0.75, 0.8, 0.85, 0.9)

CHANGES: tuple[dict[str, object], ...] = (
    {"slots": 5},
    {"slots": 64},
    {"startup_s": 2.0},
    {"startup_s": 30.0},
    {"distribution": Distribution.LOGNORMAL},
    {"slow": True},
    {"clients": 500},
    {"slots": 5, "startup_s": 30.0, "distribution": Distribution.LOGNORMAL},
    {"slots": 64, "startup_s": 30.0, "slow": True},
)
"""One change at a time from the grid's setting, and two corners."""


def first(traces: Sequence[str], sampled: Sequence[str], seeds: int) -> list[Job]:
    """Return the runs that can be named beforehand, ours first, then seed by seed: time that runs out costs
    seeds of what ours is compared with.

    Peers run at every target with TUNING_SEEDS seeds; what `last` names has all. `sampled` = the traces of
    the sampled design, some of `traces`.
    """
    found = []
    for seed in range(1, seeds + 1):
        for trace, balancer in product(traces, Balancer):
            found += [Job(trace, name, 0.0, balancer, seed) for name in (*PLANNERS, APACHE)]
            if seed <= TUNING_SEEDS:
                found += [
                    Job(trace, peer, target, balancer, seed)
                    for peer in (*FORMULAS, WITH_BURST)
                    for target in targets(peer, balancer)
                ]
        found += _design(sampled, seed)
    return sorted(found, key=lambda job: (job.policy != OURS or bool(job.setting), job.seed))


def last(traces: Sequence[str], best: Callable[[str, Balancer, str], set[float]], seeds: int) -> list[Job]:
    """Return the runs of the remaining seeds: each peer at its default and its `best` targets of a place."""
    return [
        Job(trace, peer, target, balancer, seed)
        for seed in range(TUNING_SEEDS + 1, seeds + 1)
        for trace, balancer, peer in product(traces, Balancer, (*FORMULAS, WITH_BURST))
        for target in targets(peer, balancer)
        if target == DEFAULT_TARGET or target in best(Path(trace).stem, balancer, peer)
    ]


def targets(peer: str, balancer: Balancer) -> tuple[float, ...]:
    """Return the targets at which a peer is tried."""
    if peer == WITH_BURST:
        return BURST_TARGETS if balancer is Balancer.RANDOM else ()
    return TARGETS[balancer]


def _design(traces: Sequence[str], seed: int) -> Iterator[Job]:
    """Ours with and without burst threads, and the peers at their default, at other settings."""
    policies = [(OURS, 0.0), (NO_BURST, 0.0), *((name, DEFAULT_TARGET) for name in REAL)]
    for trace in traces:
        for change in CHANGES:
            for policy, target in policies:
                yield replace(Job(trace, policy, target, Balancer.RANDOM, seed), **change)  # type: ignore[arg-type]
