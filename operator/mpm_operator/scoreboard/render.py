"""The merged scoreboard as httpd's `?auto`, as HTML and as JSON. Values in, text out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mpm_worker import status, status_page
from mpm_worker.letters import fold

if TYPE_CHECKING:
    from .board import Board, PodLine

SILENT_SECONDS = 5.0
"""A line older than this is marked: the pod may be stuck, or cut off."""


def auto(board: Board) -> str:
    """httpd's machine-readable page (ISO-8859-1)."""
    return status.auto(board.view)


def page(board: Board, *, table: bool) -> str:
    """httpd's page, with a table of pods where httpd has one of slots."""
    return status_page.page(board.view, table=False, more=_table(board) if table else "")


def document(board: Board) -> dict[str, Any]:
    """The same for programs of our time; counters never go back while `restartTime` is the same."""
    view, frame, counters = board.view, board.frame, board.counters
    letters, each = fold(view.letters)
    load = view.load
    return {
        "name": frame.name,
        "version": view.version,
        "mpm": frame.mpm,
        "generation": frame.generation,
        "currentTime": frame.now,
        "restartTime": view.started,
        "uptimeSeconds": frame.uptime,
        "workers": {
            "busy": load.busy,
            "idle": load.idle,
            "total": load.total,
            "queue": load.queue,
            "max": frame.max_request_workers,
        },
        "servers": {"all": view.servers, "stopping": view.stopping},
        "connections": {
            "open": load.connections,
            "keepAlive": load.keep_alive,
            "reading": load.reading,
            "closing": load.closing,
        },
        "totals": {
            "accesses": counters.accesses,
            "bytes": counters.sent,
            "connections": counters.connections,
            "busyMs": counters.busy_ms,
            "cpuMs": counters.user_ms + counters.system_ms,
            "throttledMs": counters.throttled_ms,
            "overflows": counters.overflows,
        },
        "scoreboard": letters,
        "slotsPerLetter": each,
        "pods": [_pod(pod, board) for pod in board.pods],
    }


def _pod(pod: PodLine, board: Board) -> dict[str, Any]:
    if pod.line is None:
        return {"name": pod.name, "state": pod.state, "ageSeconds": round(pod.unheard, 3)}
    report = pod.line.report
    return {
        "name": pod.name,
        "state": pod.state,
        "ageSeconds": round(pod.age(board.frame.clock), 3),
        "uptimeSeconds": report.uptime_ms / 1000,
        "servers": report.servers,
        "threadsPerChild": report.threads_per_child,
        "workers": {"busy": report.busy, "idle": report.idle, "total": report.total, "queue": report.queue},
        "connections": report.connections,
        "accesses": report.accesses,
        "rss": report.rss,
        "scoreboard": pod.letters(board.frame.slots_per_pod),
    }


def _table(board: Board) -> str:
    heads = (
        *("Pod", "State", "Srv", "Busy", "Idle", "Queue", "Conns", "Acc", "MiB sent"),
        *("CPU s", "RSS MiB", "Up", "Line", "Slots"),
    )
    head = "".join(f"<th>{head}</th>" for head in heads)
    rows = "".join(_row(pod, board) for pod in board.pods)
    return (
        f'<table border="0">\n<tr>{head}</tr>\n{rows}</table>\n'
        "<p>Srv: servers of the pod; Acc: requests since it started; Up: seconds since then; "
        f"Line: age of what it said last in seconds, ! beyond {SILENT_SECONDS:g}</p>\n"
    )


def _row(pod: PodLine, board: Board) -> str:
    cells: list[object] = [pod.name, pod.state]
    if pod.line is None:
        cells += [""] * 10
    else:
        report, shown = pod.line.report, pod.line.shown
        cells += [report.servers, report.busy, report.idle, report.queue, report.connections]
        cells += [report.accesses, f"{shown.sent / (1 << 20):.1f}", f"{report.cpu_ms / 1000:.1f}"]
        cells += [f"{report.rss / (1 << 20):.0f}", report.uptime_ms // 1000]
    age = pod.age(board.frame.clock)
    cells += [f"{age:.1f}{'!' if age > SILENT_SECONDS else ''}"]
    letters = status_page.wrapped(pod.letters(board.frame.slots_per_pod))
    return f'<tr>{status_page.cells(cells)}<td><pre style="margin: 0">{letters}</pre></td></tr>\n'
