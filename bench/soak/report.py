"""The figures of a run, and how they are told."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from . import record as seen
from .stage import SLOTS

if TYPE_CHECKING:
    from pathlib import Path

    from .record import Record

BEGIN, END = "<!-- soak: begin -->", "<!-- soak: end -->"

Figures = dict[str, Any]


def figures(record: Record) -> Figures:
    """Everything worth telling, ready for JSON."""
    span = record.ended - record.began
    failures = [
        each | {"second": round(each["at"] - record.began, 2), "while": record.going_on(each["at"])}
        for each in record.failures
    ]
    done = [
        {
            "kind": act.kind,
            "note": act.note,
            "second": round(act.began - record.began, 1),
            "took": round(act.ended - act.began, 1),
            "failure": act.failure,
        }
        for act in record.acts
    ]
    return {
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(record.ended)),
        "seconds": round(span, 1),
        "load_average": round(os.getloadavg()[1]),
        "cpus": os.cpu_count(),
        "requests": record.summary["requests"],
        "rate": round(record.summary["requests"] / span, 1),
        "connections": record.summary["connections"],
        "failed": len(failures),
        "failures": dict(Counter(each["failure"] for each in failures)),
        **{key: record.summary[key] for key in ("p50_ms", "p95_ms", "p99_ms")},
        "scale_events": record.scale_events,
        "acts": dict(Counter(act.kind for act in record.acts)),
        "pods": len(record.pods),
        "peak_pods": max((replicas for _, replicas in record.replicas), default=0),
        "pod_seconds": round(seen.pod_seconds(record)),
        "ideal_pod_seconds": round(seen.ideal_pod_seconds(record, SLOTS)),
        "scaled_in": seen.busy_when_scaled_in(record),
        "busy_at_choice": seen.busy_at_choice(record),
        **seen.exits(record),
        "done": done,
        "first_failures": failures[:200],
    }


def text(found: Figures) -> str:
    """For the terminal."""
    lines = [f"{key}: {value}" for key, value in found.items() if key not in ("done", "first_failures")]
    lines += [
        f"  {act['second']:7.1f} s  {act['kind']} {act['note']}, {act['took']} s {act['failure']}"
        for act in found.get("done", ())
    ]
    lines += [f"  FAILED {each}" for each in found.get("first_failures", ())[:30]]
    return "\n".join(lines)


def write(path: Path, found: dict[str, Any]) -> None:
    """Put the section into RESULTS.md, between its marks or at the end."""
    whole = path.read_text()
    section = f"{BEGIN}\n{markdown(found)}\n{END}"
    if BEGIN in whole:
        before, _, rest = whole.partition(BEGIN)
        path.write_text(before + section + rest.partition(END)[2])
    else:
        path.write_text(whole.rstrip() + "\n\n" + section + "\n")


def markdown(found: dict[str, Any]) -> str:
    """The section: `found` holds the figures of each part, and `notes` on the run."""
    ours, peer = found["soak"], found.get("peer")
    columns = [("mpm-operator", ours)] + ([("Deployment + HPA", peer)] if peer else [])
    rows = [
        "| | " + " | ".join(name for name, _ in columns) + " |",
        "| --- |" + " --- |" * len(columns),
        *(f"| {name} | " + " | ".join(value(each) for _, each in columns) + " |" for name, value in ROWS),
    ]
    return "\n".join(
        [
            "## Nothing is cut",
            "",
            f"`make soak`, {ours['at']}: one real node (API server, kubelet, kube-proxy with nftables), "
            "150 clients through the Service, every other one with keep-alive, one request each 0.4 s; "
            f"requests take {DEMAND}. Failed = refused, reset, short, 5xx or timed out after 30 s; "
            "nothing is ever retried.",
            "",
            *rows,
            "",
            *_goals(found),
            *_failures(peer),
            *(line for note in found.get("notes", ()) for line in ("", note)),
        ]
    )


DEMAND = "20 or 150 ms in turn"
ROWS = (
    ("processes that wanted to run, CPUs", lambda each: f"{each['load_average']}, {each['cpus']}"),
    ("requests", lambda each: f"{each['requests']:,} in {each['seconds']:.0f} s ({each['rate']:.0f}/s)"),
    ("**failed**", lambda each: f"**{each['failed']}**{_kinds(each['failures'])}"),
    ("latency p50 / p95 / p99, ms", lambda each: f"{each['p50_ms']} / {each['p95_ms']} / {each['p99_ms']}"),
    ("changes of `replicas`", lambda each: str(each["scale_events"])),
    ("done meanwhile", lambda each: ", ".join(f"{count} × {kind}" for kind, count in each["acts"].items())),
    ("pods in all, at most wanted", lambda each: f"{each['pods']}, {each['peak_pods']}"),
    (
        f"pod-seconds; × what the served requests need at {SLOTS} slots a pod",
        lambda each: f"{each['pod_seconds']:,}; {each['pod_seconds'] / each['ideal_pod_seconds']:.1f} ×",
    ),
    ("exit codes of containers", lambda each: _kinds(each["exit_codes"]).strip(" ()") or "–"),
)


def _kinds(counts: dict[str, int]) -> str:
    return f" ({', '.join(f'{kind}: {count}' for kind, count in counts.items())})" if counts else ""


def _goals(found: dict[str, Any]) -> list[str]:
    ours = found["soak"]
    scaled, choice = ours["scaled_in"], ours["busy_at_choice"]
    share = 100 * choice["ours"] / choice["newest_first"] if choice["newest_first"] else 0.0
    lines = [
        ("no request fails, of ≥ 200,000", f"{ours['failed']} of {ours['requests']:,}",
         ours["failed"] == 0 and ours["requests"] >= 200_000),
        ("≥ 50 changes of `replicas`", str(ours["scale_events"]), ours["scale_events"] >= 50),
        ("no pod is scaled in with a busy slot", f"{scaled['busy']} of {scaled['pods']}", not scaled["busy"]),
        ("no server is ended before its requests", f"{ours['cut']} cut", not ours["cut"]),
        ("busy slots on victims when chosen ≤ 1 % of newest-first's",
         f"{choice['ours']} against {choice['newest_first']} ({share:.0f} %)", share <= 1),
    ]  # fmt: skip
    if live := found.get("live"):
        lines.append((
            f"threadsPerChild over {live['pods']} pods seen in ≤ 1 s, nothing restarted or failed",
            f"{live['last_s']} s (first {live['first_s']} s), {live['restarts']} restarts, "
            f"{live['new_pods']} new pods, {live['failed']} of {live['requests']:,} failed",
            live["last_s"] <= 1 and not live["restarts"] + live["new_pods"] + live["failed"],
        ))  # fmt: skip
    if undo := found.get("undo"):
        lines.append((
            "load returns while ≥ 5 pods quiesce: all serve again in ≤ 2 s, no pod is created",
            f"{undo['serve_again']} of {undo['quiescing']}, the last after {undo['last_s']} s; "
            f"{undo['new_pods']} new pods, {undo['failed']} failed",
            undo["quiescing"] == undo["serve_again"] >= 5 and undo["last_s"] <= 2 and not undo["new_pods"],
        ))  # fmt: skip
    else:
        lines.append(("load returns while ≥ 5 pods quiesce: all serve again in ≤ 2 s", "not measured", False))
    rows = [f"| {goal} | {value} | {'met' if met else '**missed**'} |" for goal, value, met in lines]
    return ["| goal | seen | |", "| --- | --- | --- |", *rows]


def _failures(peer: Figures | None) -> list[str]:
    """When the other's requests failed, by what was going on."""
    if not peer:
        return []
    during = Counter(
        ", ".join(kind.partition(" (")[0] for kind in each["while"]) or "scaling alone"
        for each in peer["first_failures"]
    )
    told = "; ".join(f"{what}: {count}" for what, count in during.most_common()) or "none"
    return [
        "",
        "Deployment + HPA: gunicorn (gthread, 8 threads), a preStop sleep of 5 s, the default rolling "
        "update; the HPA is its formula on the CPU of the pods' control groups (averageValue 140m) each "
        "15 s, without a window for scaling down. Its run is smaller. Its first failures by what was being "
        f"done: {told}.",
    ]
