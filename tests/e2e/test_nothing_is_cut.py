"""A tenth of `make soak`: everything that can change changes under load, and no request fails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from soak import report
from soak.scenario import TENTH, disturbances, run
from soak.stage import Stage, prepare, watched

if TYPE_CHECKING:
    from collections.abc import Callable

    from testcluster.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def test_no_request_fails_while_pods_come_and_go_and_parts_of_the_cluster_end(
    installed: Cluster, namespace: str, record_property: Callable[[str, object], None]
) -> None:
    if installed.site is None:
        pytest.skip("needs a cluster whose API server may be killed")
    stage = Stage(installed, installed.site, namespace)
    with watched(stage):
        prepare(stage)
        run(stage, TENTH)
    found = report.figures(stage.record)
    print(report.text(found))
    record_property("figures", json.dumps(found))
    assert found["failed"] == 0, found["first_failures"]
    assert len(found["done"]) == len(disturbances(TENTH))
    assert not [act for act in found["done"] if act["failure"]]
    assert found["requests"] >= TENTH.requests
    assert found["scale_events"] >= TENTH.scale_events
    assert found["scaled_in"]["busy"] == 0, "a pod was taken away with a request under way"
    # A TERM may come in the moment before there is a handler (docs/never-cut.md), and on a busy machine that
    # moment is long: such a pod is out of the endpoints and lives for its grace period.
    assert set(found["exit_codes"]) <= {"0", "137"}
    drained = [pod for pod in found["killed"] if pod["heard_before"]]
    assert not drained, "every worker that ran when it was told to end has drained"
    assert found["cut"] == 0, "no server was ended before its requests"
    assert found["restarts"] == 0
