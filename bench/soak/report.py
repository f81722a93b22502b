"""The figures of a run, and how they are told."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from . import record as seen

if TYPE_CHECKING:
    from .record import Record

BEGIN, END = "<!-- soak: begin -->", "<!-- soak: end -->"
SLOTS = 8


def figures(record: Record) -> dict[str, Any]:
    """Everything worth telling, ready for JSON."""
    span = record.ended - record.began
    failures = [
        each | {"second": round(each["at"] - record.began, 2), "while": record.going_on(each["at"])}
        for each in record.failures
    ]
    return {
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(record.ended)),
        "seconds": round(span, 1),
        "requests": record.summary["requests"],
        "rate": round(record.summary["requests"] / span, 1),
        "connections": record.summary["connections"],
        "failed": len(failures),
        "failures": dict(Counter(each["failure"] for each in failures)),
        "first_failures": failures[:50],
        **{key: record.summary[key] for key in ("p50_ms", "p95_ms", "p99_ms")},
        "scale_events": record.scale_events,
        "acts": dict(Counter(act.kind for act in record.acts)),
        "done": [
            {
                "kind": act.kind,
                "note": act.note,
                "second": round(act.began - record.began, 1),
                "took": round(act.ended - act.began, 1),
            }
            for act in record.acts
        ],
        "pods": len(record.pods),
        "peak_pods": max((replicas for _, replicas in record.replicas), default=0),
        "pod_seconds": round(seen.pod_seconds(record)),
        "ideal_pod_seconds": round(seen.ideal_pod_seconds(record, SLOTS)),
        "scaled_in": seen.busy_when_scaled_in(record),
        "busy_at_choice": seen.busy_at_choice(record),
        **seen.exits(record),
    }


def text(found: dict[str, Any]) -> str:
    """For the terminal."""
    lines = [f"{key}: {value}" for key, value in found.items() if key not in ("done", "first_failures")]
    lines += [
        f"  {act['second']:7.1f} s  {act['kind']} {act['note']}, {act['took']} s" for act in found["done"]
    ]
    lines += [f"  FAILED {each}" for each in found["first_failures"]]
    return "\n".join(lines)
