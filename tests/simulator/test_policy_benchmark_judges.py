"""What the policy benchmark says of its figures: who is compared with whom, and what is met or missed."""

from __future__ import annotations

import importlib
import random
import sys
from dataclasses import replace
from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from mpm_operator.core import law
from mpm_operator.simulator.scenario import Balancer

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
designs: Any = importlib.import_module("policy_designs")
estimator: Any = importlib.import_module("policy_estimator")
grid: Any = importlib.import_module("policy_grid")
jobs: Any = importlib.import_module("policy_jobs")
report: Any = importlib.import_module("policy_report")
tables: Any = importlib.import_module("policy_tables")
sections: Any = importlib.import_module("sections")

TRACES = ["a/diurnal.txt", "a/noisy.txt", "step"]
PLAIN = jobs.Row(0.1, 1.0, 1000.0, 1000.0, 10, 10, 0.0, 0, 0, 0, 0.0)


def runs(ours: Any = PLAIN, peers: Any = PLAIN, **by_target: Any) -> Any:
    """Every run of the design; a peer's row at target 0.75 is that of the keyword `t75`."""
    found = report.Runs()
    for job in designs.first(TRACES, ["step"], 2):
        row = ours if job.policy == "mpm" else by_target.get(f"t{100 * job.target:.0f}", peers)
        found.add(job, row)
    return found


def seen(found: Any, goal: str) -> Any:
    return next(verdict for verdict in report.verdicts(found) if verdict.goal.startswith(goal))


def test_every_run_has_a_key_of_its_own() -> None:
    planned = [*designs.first(TRACES, ["step"], 3), *designs.last(TRACES, lambda *_: {0.6, 0.95}, 3)]
    assert len({job.key for job in planned}) == len(planned)


def test_a_peer_is_compared_at_its_cheapest_target_within_the_goal() -> None:
    too_late = replace(PLAIN, violations=3.0, pod_seconds=500.0)
    cheap = replace(PLAIN, violations=0.4, pod_seconds=900.0)
    found = runs(t80=too_late, t75=cheap)
    best = report.tuned_per_trace(found, "diurnal", Balancer.RANDOM, "KPA")
    assert (best.target, best.pod_seconds, best.fits) == (0.75, 900.0, True)


def test_a_peer_that_never_meets_the_goal_is_taken_at_its_fewest_violations() -> None:
    found = runs(peers=replace(PLAIN, violations=5.0), t60=replace(PLAIN, violations=4.0, pod_seconds=9000.0))
    best = report.tuned_per_trace(found, "noisy", Balancer.RANDOM, "KPA")
    assert (best.target, best.fits) == (0.6, False)


@pytest.mark.parametrize(("spent", "met"), [(1030.0, True), (1031.0, False)])
def test_parity_is_judged_at_the_worst_place(spent: float, met: bool) -> None:
    assert seen(runs(ours=replace(PLAIN, pod_seconds=spent)), "pod-seconds ≤ +3%").met is met


@pytest.mark.parametrize(("spent", "met"), [(900.0, True), (901.0, False)])
def test_one_target_over_all_is_judged_by_the_sum(spent: float, met: bool) -> None:
    assert seen(runs(ours=replace(PLAIN, pod_seconds=spent)), "pod-seconds ≤ -10%").met is met


def test_more_violations_than_the_goal_are_missed() -> None:
    found = runs(ours=replace(PLAIN, violations=0.7))
    assert seen(found, "diurnal, random: waits").met is False
    assert seen(found, "noisy, random: waits").met is True


def test_a_run_that_was_kept_is_not_made_again(tmp_path: Path) -> None:
    planned = designs.first(["step"], [], 1)[:3]
    kept = tmp_path / "kept.jsonl"
    grid.measure(planned[:2], kept, 1, float("inf"))
    assert grid.remembered(kept, planned).keys() == {job.key for job in planned[:2]}


def test_an_ablation_leaves_the_planner_as_it_was() -> None:
    before = law.staff
    jobs.run(jobs.Job("step", jobs.FIXED_SHARE, 0.0, Balancer.RANDOM, 1))
    assert law.staff is before


@pytest.mark.parametrize("wander", [0.0, 0.06])
def test_the_estimate_is_as_sure_as_chance_allows(wander: float) -> None:
    """Also of a load that moves: what it does within the window is no error, and told apart from it."""
    found = [estimator.errors(_rates(wander, seed), seed=seed) for seed in (1, 2, 3)]
    seen, poisson, instant = (
        sqrt(fmean(getattr(errors, name) ** 2 for errors in found)) for name in ("seen", "poisson", "instant")
    )
    assert seen <= 1.25 * poisson
    assert seen <= 0.05
    assert instant >= (2 if wander else 0.9) * seen


def _rates(wander: float, seed: int) -> list[float]:
    dice, rates = random.Random(seed), [200.0]
    for _ in range(600):
        rates.append(rates[-1] + 200 * (wander * dice.gauss(0, 1)) + 0.1 * (200 - rates[-1]))
    return rates


def test_a_section_leaves_the_others_alone(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    page.write_text("# Results\n\nmine\n")
    for text in ("one", "two"):
        sections.write("bench-policy", text, page)
        sections.write("other", "kept", page)
    assert page.read_text().count("kept") == 1
    assert "one" not in page.read_text()
    assert page.read_text().startswith("# Results\n\nmine\n")


@pytest.mark.parametrize("table", ["equal_violations", "fixed_targets", "ablations", "design", "grid"])
def test_tables_are_whole_whatever_was_cut(table: str) -> None:
    whole, cut = runs(), report.Runs()
    for job in designs.first(TRACES, ["step"], 1)[: len(TRACES)]:
        cut.add(job, PLAIN)
    for found in (whole, cut):
        lines = getattr(tables, table)(found).splitlines()
        assert len({line.count("|") for line in lines}) == 1
    assert len(getattr(tables, table)(whole).splitlines()) > 2
    assert list(report.verdicts(cut))
