"""What was seen on the cluster, as a section of RESULTS.md."""

from __future__ import annotations

from typing import Any

from .replay import DEALINGS, HPA, OURS
from .stage import CPU_REQUEST, CPU_S, SERVICE_S, SLOTS

P50_GOAL_S, P99_GOAL_S = 0.5, 1.5
NEAR = 0.10
TITLES = {
    "ours": "with burst threads",
    "plain": "without",
    **{part: f"HPA on CPU, {percent} %" for part, percent in HPA.items()},
}
ROWS = (
    ("requests", "requests"),
    ("violations", "waited > 250 ms or failed, %"),
    ("wait_p99_ms", "99th percentile of the wait, ms"),
    ("pod_seconds", "pod-seconds"),
    ("peak", "most pods"),
    ("startup_s", "a pod from creation to ready, s"),
    ("ending_s", "a pod from the end of its processes to gone, s"),
    ("held_s", "a request held its slot, s"),
    ("lag_p99_ms", "clients late by (99th percentile), ms"),
    ("wanted_to_run", "processes that wanted to run on the 2 CPUs"),
    ("failures", "failed"),
)


def section(found: dict[str, Any]) -> str:
    """Return the goals, and the table of the replays that were made."""
    lines = [
        "## The planner on a real cluster",
        "",
        f"`python bench/policy_cluster.py`, {found['machine']}. "
        "One node with everything on it, the load too.",
        "",
        "| goal | seen |  |",
        "| --- | --- | --- |",
        *(
            f"| {' | '.join(row)} |"
            for row in (*_steps(found), *(row for part in OURS for row in _nearness(found, part)))
        ),
    ]
    if found.keys() & TITLES.keys():
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


def _nearness(found: dict[str, Any], part: str) -> list[tuple[str, str, str]]:
    if part not in found:
        return []
    seen, said = found[part], found[f"{part} predicted"]
    return [
        _near(f"{TITLES[part]}: pod-seconds", seen, said, "pod_seconds", ",.0f"),
        _near(f"{TITLES[part]}: violations, %", seen, said, "violations", ".2f"),
    ]


def _near(what: str, seen: dict[str, Any], said: dict[str, Any], key: str, form: str) -> tuple[str, str, str]:
    low, high = said[f"{key}_range"]
    value, middle = seen[key], said[key]
    near = abs(value - middle) <= NEAR * middle
    off = f" ({value / middle - 1:+.0%})" if middle else ""
    verdict = _judged(near, 0)
    if not near:
        verdict += ", within what chance does" if low <= value <= high else ", beyond what chance does"
    return (
        f"{what} within {NEAR:.0%} of the simulator's prediction",
        f"{value:{form}}, predicted {middle:{form}} [{low:{form}}–{high:{form}}]{off}",
        verdict,
    )


def _judged(met: bool, by: float) -> str:
    return "met" if met else "**missed**" + (f" by {by:.0%}" if by > 0 else "")


def _table(found: dict[str, Any]) -> list[str]:
    columns = [
        (key + tail, title + more)
        for key, title in TITLES.items()
        for tail, more in (("", ""), (" predicted", ", simulated"))
    ]
    there = [(found[key], title) for key, title in columns if key in found]
    rows = [[title, *(_cell(seen, key) for seen, _ in there)] for key, title in ROWS]
    (burst, wait), (limit, plain_wait) = OURS["ours"], OURS["plain"]
    return [
        f"{found['seconds'] / 60:g} minutes of `{found['trace']}`, scaled to the machine, after two minutes "
        f"of its first rate; {SLOTS} slots a pod, {SERVICE_S * 1000:g} ms a request (exponential), "
        f"{CPU_S * 1000:g} ms of them CPU, a connection for each request, the same requests and as many pods "
        f"at the beginning for all. *With burst threads*: ThreadLimit {burst}, waitProbabilityPercent {wait} "
        f"(as it comes); *without*: ThreadLimit {limit}, waitProbabilityPercent {plain_wait}, so that there "
        "are violations to foretell. The simulator is told how long pods took to start and to go, and how "
        f"long requests held their slots; its figures are medians [least–most] over {DEALINGS} lucks of the "
        "balancer, for nobody knows which pod kube-proxy draws. The HPA (autoscaling/v2 with metrics-server, "
        "15 s, its defaults) has a plain Deployment of the same worker; its CPU request is "
        f"{CPU_REQUEST * 1000:g}m, what a pod with all slots busy uses: a target is one of busy slots, as "
        "well as it can be set by somebody who knows the CPU time of a request.",
        "",
        f"| what | {' | '.join(title for _, title in there)} |",
        "| --- |" + " --- |" * len(there),
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _cell(seen: dict[str, Any], key: str) -> str:
    if key not in seen:
        return "–"
    value = seen[key]
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items()) or "0"
    text = _number(value)
    if f"{key}_range" in seen:
        text += " [{}–{}]".format(*map(_number, seen[f"{key}_range"]))
    return text


def _number(value: float) -> str:
    return f"{value:,.2f}" if isinstance(value, float) and value < 100 else f"{value:,.0f}"
