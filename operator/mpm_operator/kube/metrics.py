"""The operator's own Prometheus metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from mpm_operator.core.explain import REASONS

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, read by nobody
REGISTRY = CollectorRegistry()

RECONCILES = Counter(
    "mpm_operator_reconciles", "Reconciliations of WebServers.", ["result"], registry=REGISTRY
)
for _result in ("done", "fenced", "failed", "defect"):
    RECONCILES.labels(_result)  # a series that is not there yet cannot grow in an alert's eyes
RECONCILE_SECONDS = Histogram(
    "mpm_operator_reconcile_seconds",
    "Duration of one reconciliation, API calls included.",
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10),
    registry=REGISTRY,
)
DECISIONS = Counter(
    "mpm_operator_decisions", "Decisions that changed, by their reason.", ["reason"], registry=REGISTRY
)
for _reason in sorted(REASONS):
    DECISIONS.labels(_reason)
API_WRITES = Counter(
    "mpm_operator_api_writes",
    "Writes sent to the API server, the lease's included.",
    ["verb", "resource"],
    registry=REGISTRY,
)
API_ERRORS = Counter(
    "mpm_operator_api_errors",
    "Calls that the API server refused or did not answer.",
    ["verb", "resource", "reason"],
    registry=REGISTRY,
)
CONTROLS = Counter(
    "mpm_operator_control_calls", "Control calls to pods.", ["call", "result"], registry=REGISTRY
)
VICTIMS = Counter("mpm_operator_victims", "Pods that quiesced to go.", registry=REGISTRY)
VICTIMS_BUSY = Counter(
    "mpm_operator_victims_busy",
    "Requests in service on victims when they quiesced: on the chosen ones, and on as many newest pods.",
    ["order"],
    registry=REGISTRY,
)
for _order in ("chosen", "newest"):
    VICTIMS_BUSY.labels(_order)
POD_START_SECONDS = Histogram(
    "mpm_operator_pod_start_seconds",
    "Scale latency: from the creation of a pod to its first word that it serves.",
    buckets=(0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300),
    registry=REGISTRY,
)
STREAMS = Gauge("mpm_operator_scoreboard_streams", "Scoreboard streams that are open.", registry=REGISTRY)
STREAM_AGE = Gauge(
    "mpm_operator_scoreboard_age_seconds",
    "Age of the oldest last line among the streams of ready pods.",
    registry=REGISTRY,
)
WATCH_AGE = Gauge(
    "mpm_operator_watch_age_seconds",
    "Time since the cache was last confirmed by a listing.",
    ["resource"],
    registry=REGISTRY,
)
WATCH_MISSES = Counter(
    "mpm_operator_watch_misses",
    "Changes that a listing found and the watch had not brought.",
    ["resource"],
    registry=REGISTRY,
)
QUEUE_DEPTH = Gauge("mpm_operator_queue_depth", "WebServers that wait to be reconciled.", registry=REGISTRY)
LEASE_HELD = Gauge("mpm_operator_lease_held", "1 while this process may write.", registry=REGISTRY)
