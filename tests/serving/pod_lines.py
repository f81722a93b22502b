"""Lines of pods as the stream brings them, made by hand."""

from __future__ import annotations

import json
from typing import Any

from mpm_operator.scoreboard import Line, parse


def said(
    at: float = 100.0,
    *,
    boot: str = "b1",
    uptime: float = 10.0,
    accesses: int = 0,
    busy: int = 0,
    idle: int = 0,
    letters: str = "",
    **more: Any,
) -> Line:
    """A line that arrived at `at`."""
    document = {
        "boot": boot,
        "state": "Serving",
        "sequence": 0,
        "mpm": "event",
        "servers": 1,
        "threadsPerChild": 5,
        "threadsCeiling": 5,
        "settings": {},
        "workers": {"busy": busy, "idle": idle, "total": busy + idle, "queue": 0},
        "backlog": {"depth": 0, "limit": 511, "overflows": 0},
        "connections": {"open": 2, "keepAlive": 1, "reading": 1, "closing": 0},
        "totals": {
            "accesses": accesses,
            "bytes": 1024 * accesses,
            "connections": accesses,
            "busyMs": 50 * accesses,
        },
        "cpu": {"ms": 10 * accesses, "userMs": 7 * accesses, "quota": 1.0, "throttledMs": 0},
        "memory": {"rss": 1 << 20, "limit": 1 << 28},
        "uptimeMs": int(uptime * 1000),
        "letters": letters,
    } | more
    return parse(json.dumps(document).encode(), at)
