"""Each WebServer in Prometheus' terms, made when somebody scrapes: nothing is kept up to date in between.

Only the holder of the lease shows them, else every sum over the operator's replicas would be double. The
names of the pods' own metrics are kept, with `webserver` put in.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from .resources import WEBSERVERS, Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

    from mpm_operator.scoreboard import Board

    from .caches import Caches
    from .merged import Merged

    Rows = list[tuple[Key, Board]]

_LABELS = ["namespace", "name"]
STATES = ("Starting", "Serving", "Quiescing", "Drained", "Stopping")


class WebServerMetrics(Collector):
    """One sample a WebServer of each metric; `leading` tells whether this process counts."""

    def __init__(self, merged: Merged, caches: Caches, leading: Callable[[], bool]) -> None:
        self._merged = merged
        self._caches = caches
        self._leading = leading

    def collect(self) -> Iterator[Metric]:
        if not self._leading():
            return
        rows = [(key, found) for key in self._merged if (found := self._merged.board(key))]
        yield from _gauges(rows)
        yield from _by_state(rows)
        yield from _counters(rows)
        yield from self._wanted(rows)

    def _wanted(self, rows: Rows) -> Iterator[Metric]:
        """What the status says."""
        desired = _gauge("desired_replicas", "Pods the operator wants.")
        held = _gauge("condition", "1 while the condition of the status holds.", "condition")
        for key, _ in rows:
            server = self._caches[WEBSERVERS].get(key.namespace, key.name) or {}
            status = server.get("status") or {}
            if "desiredReplicas" in status:
                desired.add_metric([*key], status["desiredReplicas"])
            for condition in status.get("conditions") or ():
                held.add_metric([*key, condition["type"]], condition["status"] == "True")
        yield desired
        yield held


def _gauge(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"mpm_webserver_{name}", words, labels=[*_LABELS, *labels])


def _gauges(rows: Rows) -> Iterator[Metric]:
    table: tuple[tuple[str, str, Callable[[Board], float]], ...] = (
        ("workers_busy_ratio", "Busy slots over all slots that accept, 0 to 1.", _ratio),
        (
            "workers_demand_ratio",
            "Busy slots and what waits for one, over all slots; above 1 slots are missing.",
            _demand,
        ),
        (
            "queue_depth",
            "Connections and requests that wait for a slot.",
            lambda board: board.view.load.queue,
        ),
        ("connections", "Open connections.", lambda board: board.view.load.connections),
        (
            "keepalive_connections",
            "Open connections without a request.",
            lambda board: board.view.load.keep_alive,
        ),
        (
            "max_request_workers",
            "MaxRequestWorkers in effect, in slots.",
            lambda board: board.frame.max_request_workers,
        ),
        (
            "cpu_quota_cpus",
            "CPUs that its pods may use together.",
            lambda board: board.view.resources.allowed.cpus,
        ),
        ("resident_memory_bytes", "Resident memory of its pods together.", _memory),
        (
            "scoreboard_age_seconds",
            "Age of the oldest last line among its pods; of a ready one never heard, since it is.",
            _age,
        ),
    )
    for name, words, value in table:
        family = _gauge(name, words)
        for key, board in rows:
            family.add_metric([*key], value(board))
        yield family


def _by_state(rows: Rows) -> Iterator[Metric]:
    workers = _gauge("workers", "Slots by state.", "state")
    servers = _gauge("servers", "Server processes by state.", "state")
    pods = _gauge("pods", "Pods by what their supervisor says of itself.", "state")
    for key, board in rows:
        load = board.view.load
        workers.add_metric([*key, "busy"], load.busy)
        workers.add_metric([*key, "idle"], load.idle)
        servers.add_metric([*key, "all"], board.view.servers)
        servers.add_metric([*key, "stopping"], board.view.stopping)
        states = Counter(pod.state for pod in board.pods)
        for state in STATES:
            pods.add_metric([*key, state], states[state])
    yield workers
    yield servers
    yield pods


def _counters(rows: Rows) -> Iterator[Metric]:
    table: tuple[tuple[str, str, str, float], ...] = (
        ("accesses", "Requests completed.", "accesses", 1),
        ("sent_bytes", "Bytes of content sent.", "sent", 1),
        ("accepted_connections", "Connections accepted.", "connections", 1),
        ("slot_seconds", "Slot time spent on requests.", "busy_ms", 1000),
        ("cpu_throttled_seconds", "Time its control groups were throttled.", "throttled_ms", 1000),
        ("servers_cut", "Servers that did not finish before their drain deadline.", "cut", 1),
        ("backlog_overflows", "Connections lost because an accept queue was full.", "overflows", 1),
    )
    for name, words, field, unit in table:
        family = CounterMetricFamily(f"mpm_webserver_{name}", words, labels=_LABELS)
        for key, board in rows:
            family.add_metric([*key], getattr(board.counters, field) / unit)
        yield family
    cpu = CounterMetricFamily("mpm_webserver_cpu_seconds", "CPU time.", labels=[*_LABELS, "mode"])
    for key, board in rows:
        cpu.add_metric([*key, "user"], board.counters.user_ms / 1000)
        cpu.add_metric([*key, "system"], board.counters.system_ms / 1000)
    yield cpu


def _ratio(board: Board) -> float:
    load = board.view.load
    return load.busy / load.total if load.total else 0.0


def _demand(board: Board) -> float:
    load = board.view.load
    return (load.busy + load.queue) / load.total if load.total else 0.0


def _memory(board: Board) -> float:
    return sum(pod.line.report.rss for pod in board.pods if pod.line is not None)


def _age(board: Board) -> float:
    return max((pod.age(board.frame.clock) for pod in board.pods), default=0.0)
