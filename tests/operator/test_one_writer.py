"""One writer, that writes little: leases between two operators, take-over, silence under constant load."""

from __future__ import annotations

import signal
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from stalls import sleep_and_watch

if TYPE_CHECKING:
    from .conftest import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

LONG = ("--lease-duration-seconds=60", "--lease-renew-seconds=40", "--lease-retry-seconds=2")
QUICK = ("--lease-duration-seconds=6", "--lease-renew-seconds=4", "--lease-retry-seconds=0.5")


def writes(stage: Stage, since: float) -> list[dict[str, Any]]:
    """Return what operators wrote in the namespace since then (wall time)."""
    return [
        entry
        for entry in stage.cluster.writes()
        if entry.get("userAgent", "").startswith("mpm-operator")
        and (entry.get("objectRef") or {}).get("namespace") == stage.namespace
        and datetime.fromisoformat(entry["stageTimestamp"]).timestamp() >= since
    ]


def what(entry: dict[str, Any]) -> str:
    target = entry["objectRef"]
    return f"{entry['verb']} {target['resource']}/{target.get('subresource', '')} {target.get('name', '')}"


def test_nothing_but_the_lease_is_written_under_constant_load(stage: Stage) -> None:
    shop = stage
    shop.start_operator()
    # Slots to spare: on a busy machine a handful of them would be all taken now and then.
    shop.server(mpm={"threadsPerChild": 20, "threadLimit": 20, "maxSpareThreads": 60})
    shop.ready(1)
    failures = shop.load(3, 180, "--keep-alive", "--think=0.02")
    time.sleep(30)
    for _ in range(2):
        since = time.time()
        stood_still = sleep_and_watch(60)
        found = writes(shop, since)
        others = [what(entry) for entry in found if entry["objectRef"]["resource"] != "leases"]
        if not others or stood_still < 1.5:
            break  # else the load was not constant
    assert not others, "\n".join([*others, shop.operators[0].said()[-20_000:]])
    assert len(found) >= 20, "the lease is renewed all the time"
    shop.loads[0].terminate()
    assert not failures()
    assert len(shop.pods()) == 1


def test_an_operator_stopped_past_its_lease_writes_nothing_when_it_goes_on(stage: Stage) -> None:
    first = stage.start_operator(*QUICK)
    stage.server()
    stage.ready(1)
    second = stage.start_operator(*QUICK)
    holder = stage.lease()
    first.send(signal.SIGSTOP)
    stage.until(lambda: stage.lease() != holder, 60, "the second operator to take over")
    stage.patch({"spec": {"scaling": {"minReplicas": 2}}})
    stage.ready(2)
    # What the first one still has in its caches asks for one pod; it wakes up into that.
    since = time.time()
    first.send(signal.SIGCONT)
    time.sleep(6)
    assert stage.need("deployment")["spec"]["replicas"] == 2
    later = [entry for entry in writes(stage, since) if entry["objectRef"]["resource"] != "leases"]
    assert [what(entry) for entry in later if entry["objectRef"]["resource"] == "deployments"] == []
    stage.until(lambda: "Not holding the lease" in first.said(), 60, "the first to know that it lost")
    assert second.process.poll() is None
    # And the other way: the one that was stopped can take over again.
    second.end()
    stage.until(
        lambda: stage.lease().startswith(holder.split("_")[0]) and stage.lease() != "", 60, "a holder"
    )
    stage.patch({"spec": {"scaling": {"minReplicas": 3}}})
    stage.ready(3)


def test_an_ending_operator_hands_over_at_once(stage: Stage) -> None:
    first = stage.start_operator(*LONG)
    stage.server()
    stage.ready(1)
    stage.start_operator(*LONG)
    time.sleep(3)
    assert first.end(seconds=30) == 0
    stage.patch({"spec": {"scaling": {"minReplicas": 2}}})
    # The standby does not have to wait for the lease to run out.
    stage.until(lambda: stage.need("deployment")["spec"]["replicas"] == 2, 30, "the standby to act")


def test_an_operator_killed_while_it_scales_is_followed_by_one_that_goes_on(stage: Stage) -> None:
    first = stage.start_operator(*QUICK)
    stage.server(mpm={"startServers": 4, "maxSpareThreads": 60})
    stage.ready(4)
    failures = stage.load(20, 45)
    stage.until(lambda: stage.need("deployment")["spec"]["replicas"] > 4, 60, "growth")
    first.end(signal.SIGKILL)
    left = {pod["metadata"]["uid"] for pod in stage.pods()}
    stage.start_operator(*QUICK)
    stage.until(lambda: len(writes(stage, time.time() - 3)) > 0, 60, "the second operator to hold the lease")
    time.sleep(5)
    now = {pod["metadata"]["uid"] for pod in stage.pods()}
    assert left <= now, "no pod was lost"
    assert not failures()
    assert "StartServers" not in stage.operators[1].said()


def test_each_operator_tells_its_numbers_and_its_health(shop: Stage) -> None:
    health, numbers = shop.ports()
    assert shop.fetch(f"http://127.0.0.1:{health}/healthz") == "ok\n"
    assert shop.fetch(f"http://127.0.0.1:{health}/readyz") == "ok\n"
    text = shop.fetch(f"http://127.0.0.1:{numbers}/metrics")
    for line in (
        "mpm_operator_lease_held 1.0",
        "mpm_operator_scoreboard_streams 1.0",
        'mpm_operator_decisions_total{reason="Created"} 1.0',
        'mpm_operator_api_writes_total{resource="deployments",verb="apply"}',
        'mpm_operator_reconciles_total{result="ok"}',
        'mpm_operator_watch_age_seconds{resource="pods"}',
        "mpm_operator_queue_depth",
    ):
        assert line in text
