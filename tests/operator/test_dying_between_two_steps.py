"""An operator killed between any two steps of a scale-in: the next one finishes it, and nobody notices."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testcluster.errors import ClusterError

if TYPE_CHECKING:
    from .conftest import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

DYING = Path(__file__).with_name("dying.py")
STEPS = ("quiesced", "out of the endpoints", "drained", "marked", "lowered")
QUICK = ("--lease-duration-seconds=3", "--lease-renew-seconds=2", "--lease-retry-seconds=0.3")
COST = "controller.kubernetes.io/pod-deletion-cost"


def scaled_in(stage: Stage) -> bool:
    """Return whether two pods serve, and nothing is left of what the dead one began."""
    try:
        pods, boards = stage.pods(), stage.boards()
    except ClusterError:
        return False  # a pod went while it was asked
    return (
        len(pods) == len(boards) == 2
        and all(board["state"] == "Serving" for board in boards)
        and not any(COST in pod["metadata"].get("annotations", {}) for pod in pods)
    )


def test_the_next_operator_finishes_or_undoes_what_a_dead_one_began(stage: Stage) -> None:
    first = stage.start_operator(*QUICK)
    stage.server(replicas=3)
    stage.ready(3)
    failures = stage.load(3, 170)
    for step in STEPS:
        first.end()
        dying = stage.start_operator(*QUICK, program=(sys.executable, str(DYING), step))
        stage.patch({"spec": {"replicas": 2}})
        stage.until(lambda of=dying: of.process.poll() is not None, 60, f"the operator to die {step}")  # type: ignore[misc]
        assert "Traceback" not in dying.said()
        first = stage.start_operator(*QUICK)
        stage.until(lambda: scaled_in(stage), 45, f"two pods that serve, after a death when {step}")
        stage.patch({"spec": {"replicas": 3}})
        stage.ready(3)
    stage.loads[0].terminate()
    assert not failures()


def test_pods_quiesced_by_an_operator_that_is_gone_for_good_serve_again(stage: Stage) -> None:
    dying = stage.start_operator(*QUICK, program=(sys.executable, str(DYING), "quiesced"))
    stage.server(replicas=2)
    stage.ready(2)
    stage.patch({"spec": {"replicas": 1}})
    stage.until(lambda: dying.process.poll() is not None, 60, "the operator to die")
    stage.until(lambda: {board["state"] for board in stage.boards()} != {"Serving"}, 5, "a quiesced pod")
    stage.until(lambda: {board["state"] for board in stage.boards()} == {"Serving"}, 40, "its time to lapse")
    assert stage.need("deployment")["status"]["readyReplicas"] >= 1
    stage.ready(2)
    assert json.dumps(stage.pods()).count(COST) == 0
