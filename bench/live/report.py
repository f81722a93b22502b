"""What was seen on the cluster, as a section of RESULTS.md."""

from __future__ import annotations

from typing import Any

import sections

from .stage import CPU_REQUEST, CPU_S, HPA_TARGET, SERVICE_S, SLOTS

P50_GOAL_S, P99_GOAL_S = 0.5, 1.5
NEAR = 0.10
ROWS = (
    ("requests", "requests"),
    ("violations", "waited > 250 ms or failed, %"),
    ("wait_p99_ms", "99th percentile of the wait, ms"),
    ("pod_seconds", "pod-seconds"),
    ("peak", "most pods"),
    ("startup_s", "a pod from creation to ready, s"),
    ("held_s", "a request held its slot, s"),
    ("lag_p99_ms", "clients late by (99th percentile), ms"),
    ("failures", "failed"),
)


def section(found: dict[str, Any]) -> str:
    """Return the goals, and the table of the replays that were made."""
    lines = [
        "## The planner on a real cluster",
        "",
        f"`python bench/policy_cluster.py`, {sections.machine()}. "
        "One node with everything on it, the load too.",
        "",
        "| goal | seen |  |",
        "| --- | --- | --- |",
        *(f"| {' | '.join(row)} |" for row in (*_steps(found), *_nearness(found))),
    ]
    if "ours" in found or "hpa" in found:
        lines += ["", *_table(found)]
    return "\n".join(lines)


def _steps(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    took = sorted(found.get("steps", ()))
    if not took:
        return []
    p50, p99 = took[len(took) // 2], took[-1 - len(took) // 100]
    rows = []
    for name, seen, goal in (("p50", p50, P50_GOAL_S), ("p99", p99, P99_GOAL_S)):
        what = f"load step → replicas written, {len(took)} steps: {name} ≤ {goal:g} s"
        rows.append((what, f"{seen:.2f} s", _judged(seen <= goal, seen / goal - 1)))
    return rows


def _nearness(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    if "ours" not in found:
        return []
    seen, said = found["ours"], found["predicted"]
    off = seen["pod_seconds"] / said["pod_seconds"] - 1
    rows = [
        (
            f"pod-seconds within {NEAR:.0%} of the simulator's prediction",
            f"{seen['pod_seconds']:,.0f}, predicted {said['pod_seconds']:,.0f}: {off:+.1%}",
            _judged(abs(off) <= NEAR, abs(off) - NEAR),
        )
    ]
    apart = abs(seen["violations"] - said["violations"])
    near = apart <= NEAR * max(seen["violations"], said["violations"])
    what = f"violations within {NEAR:.0%} of the prediction"
    rows.append((what, f"{seen['violations']:.2f} %, predicted {said['violations']:.2f} %", _judged(near, 0)))
    return rows


def _judged(met: bool, by: float) -> str:
    return "met" if met else "**missed**" + (f" by {by:.0%}" if by > 0 else "")


def _table(found: dict[str, Any]) -> list[str]:
    columns = [("ours", "with the operator"), ("predicted", "the simulator"), ("hpa", "HPA on CPU")]
    there = [(found[key], title) for key, title in columns if key in found]
    rows = [[title, *(_cell(seen[key]) for seen, _ in there)] for key, title in ROWS]
    return [
        f"{found['seconds'] / 60:g} minutes of `{found['trace']}`, scaled to the machine, after a minute of "
        f"its first rate; {SLOTS} slots a pod, {SERVICE_S * 1000:g} ms a request (exponential), "
        f"{CPU_S * 1000:g} ms of them CPU, a connection for each request, the same requests for all. The HPA "
        "(autoscaling/v2 with metrics-server, 15 s) has a plain Deployment of the same worker; its CPU "
        f"request is {CPU_REQUEST * 1000:g}m, what a pod with all slots busy uses, and its target "
        f"{HPA_TARGET:.0%}: as well as it can be set by somebody who knows the CPU time of a request.",
        "",
        f"| what | {' | '.join(title for _, title in there)} |",
        "| --- |" + " --- |" * len(there),
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items()) or "0"
    return f"{value:,.2f}" if isinstance(value, float) and value < 100 else f"{value:,.0f}"
