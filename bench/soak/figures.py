"""Two moments measured by themselves: a live change over many pods, and a scale-in that is taken back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .record import busy_at_choice
from .stage import clients, prepare, watched

if TYPE_CHECKING:
    from .stage import Stage

CLIENTS, PERIOD = 100, 0.4


def live_change(stage: Stage, pods: int = 20) -> dict[str, Any]:
    """threadsPerChild 4 → 6 over so many pods, under load: seconds until the last scoreboard shows it."""
    mpm = {"threadsPerChild": 4, "threadLimit": 8, "startServers": pods, "maxRequestWorkers": pods * 64}
    with watched(stage):
        prepare(stage, mpm=mpm, scaling={"minReplicas": pods}, replicas=pods)
        stage.until("every pod to serve", lambda: len(stage.serving()) >= pods, 60)
        with clients(stage, CLIENTS // 4, PERIOD, 5):
            time.sleep(5)
            there = {pod.name for pod in stage.serving()}
            stage.change({"mpm": {"threadsPerChild": 6}})
            changed = time.time()
            stage.until(
                "6 threads on every scoreboard",
                lambda: all(pod.lines[-1].settings["threadsPerChild"] == 6 for pod in stage.serving()),
                60,
            )
            time.sleep(3)
    record = stage.record
    seen = [
        next(line.at for line in pod.lines if line.settings["threadsPerChild"] == 6)
        for pod in record.pods.values()
        if pod.name in there and pod.told_at is None
    ]
    return {
        "pods": len(there),
        "first_s": round(min(seen) - changed, 2),
        "last_s": round(max(seen) - changed, 2),
        "restarts": sum(pod.restarts for pod in record.pods.values()),
        "new_pods": len(set(record.pods) - there),
        "requests": record.summary["requests"],
        "failed": len(record.failures),
    }


FEW_CLIENTS, LONG_PERIOD, POD_SLOTS = 40, 2.0, 2
HIGH, LOW = 400, 5
"""Milliseconds a request takes: at 20 requests/s 8 or 0.1 busy slots, for which 24 pods of two slots or 1 are
needed. Few and long requests, so that it is not the machine that is measured."""

SETTLED_SECONDS = 12.0
CALM_SECONDS = 20.0
ROOM = 10
"""Pods that could be created."""


def undo(stage: Stage, pods: int = 24, at_least: int = 5) -> dict[str, Any]:
    """Load falls until a quarter of the pods quiesces, and comes back: seconds until these serve again, and
    pods created meanwhile. There is room for more.
    """
    mpm = {
        "threadsPerChild": POD_SLOTS,
        "threadLimit": POD_SLOTS,
        "startServers": pods,
        "maxRequestWorkers": (pods + ROOM) * POD_SLOTS,
    }
    record = stage.record
    with watched(stage):
        prepare(stage, mpm=mpm, scaling={"minReplicas": pods})
        stage.until("every pod to serve", lambda: len(stage.serving()) >= pods, 60)
        with clients(stage, FEW_CLIENTS, LONG_PERIOD, LOW):
            time.sleep(CALM_SECONDS)  # they all begin at once, which is another load than theirs
            stage.demand(HIGH)
            began = time.time()

            def leaving() -> set[str]:
                with record.lock:
                    return {
                        pod.name
                        for pod in record.pods.values()
                        if pod.told_at is None
                        and pod.lines
                        and pod.lines[-1].state in ("Quiescing", "Drained")
                    }

            stage.until(
                "as many pods as the load needs",
                lambda: (
                    not leaving()
                    and len(stage.serving()) == record.replicas[-1][1]
                    and time.time() - max(began, record.replicas[-1][0]) > SETTLED_SECONDS
                ),
                90,
            )
            steady = len(stage.serving())
            stage.demand(LOW)
            stage.change({"scaling": {"minReplicas": 1}})
            stage.until("pods to quiesce", lambda: len(leaving()) >= at_least, 60)
            there = set(record.pods)
            stage.demand(HIGH)
            returned = time.time()
            quiet = leaving()
            time.sleep(15)
    again = {}
    for name in quiet:
        pod = record.pods[name]
        again[name] = next(
            (line.at for line in pod.lines if line.at > returned and line.state == "Serving"), None
        )
    back = [at - returned for at in again.values() if at is not None]
    return {
        "pods": steady,
        "quiescing": len(quiet),
        "serve_again": len(back),
        "first_s": round(min(back), 2) if back else None,
        "last_s": round(max(back), 2) if back else None,
        "new_pods": len(set(record.pods) - there),
        "busy_at_choice": busy_at_choice(record),
        "replicas": [(round(at - returned, 1), number) for at, number in record.replicas],
        "requests": record.summary["requests"],
        "failed": len(record.failures),
    }
