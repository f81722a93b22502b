"""Pods follow the scoreboards of the pods, on a real cluster, and no request is lost on the way."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.mark.parametrize("kept", [False, True], ids=["new connections", "kept connections"])
def test_growth_under_load_and_back_again(shop: Stage, kept: bool) -> None:
    options = ("--keep-alive",) if kept else ()
    failures = shop.load(40, 100, *options)
    shop.until(lambda: shop.need("deployment")["spec"]["replicas"] >= 8, 90, "growth to 8 pods")
    time.sleep(5)
    shop.loads[0].terminate()
    assert not failures()
    shop.until(lambda: len(shop.pods()) <= 2, 120, "the way back")
    events = [event for event in shop.all("events") if event["reportingComponent"] == "mpm-operator"]
    assert len({(event["reason"], event["message"]) for event in events}) == len(events), "each said once"


def test_a_pod_goes_only_after_it_was_quiesced_and_drained(shop: Stage) -> None:
    shop.patch({"spec": {"scaling": {"minReplicas": 3}}})
    shop.ready(3)
    failures = shop.load(2, 90)
    time.sleep(2)
    shop.patch({"spec": {"scaling": {"minReplicas": 1}}})
    quiet: set[str] = set()

    def shrunk() -> bool:
        quiet.update(
            pod["metadata"]["name"]
            for pod in shop.all("pods")
            if pod["metadata"].get("annotations", {}).get("controller.kubernetes.io/pod-deletion-cost")
        )
        return len(shop.pods()) < 3

    before = {pod["metadata"]["name"] for pod in shop.pods()}
    shop.until(shrunk, 60, "a pod to go")
    gone = before - {pod["metadata"]["name"] for pod in shop.pods()}
    assert gone <= quiet, "those that went are those that were drained"
    shop.loads[0].terminate()
    assert not failures()


STUCK = """\
import time

def application(environ, start_response):
    time.sleep(250)
    start_response("200 OK", [("Content-Length", "0")])
    return []
"""


def test_a_drain_past_its_deadline_is_told_and_ends(stage: Stage) -> None:
    stage.start_operator()
    mpm = {"gracefulShutdownTimeoutSeconds": 4}
    stage.server(code=STUCK, mpm=mpm, scaling={"drainDelaySeconds": 1}, replicas=2)
    stage.ready(2)
    for pod in stage.pods():
        url = f"http://{pod['status']['podIP']}:8080/"
        ask = "import sys,urllib.request as u; u.urlopen(sys.argv[1])"
        argv = [sys.executable, "-c", ask, url]
        stage.loads.append(stage.cluster.popen(argv, stderr=subprocess.DEVNULL, start_new_session=True))
    stage.until(lambda: [board["workers"]["busy"] for board in stage.boards()] == [1, 1], 60, "the requests")
    stage.patch({"spec": {"replicas": 1}})

    def told() -> list[str]:
        events = stage.all("events")
        return [event["message"] for event in events if event["reason"] == "DrainDeadlineExceeded"]

    stage.until(told, 60, "the event")
    assert "gracefulShutdownTimeoutSeconds" in told()[0]
    stage.until(lambda: len(stage.all("pods")) == 1, 60, "the pod to end")
    (board,) = stage.boards()
    assert board["workers"]["busy"] == 1, "the other pod's request goes on"
