"""The operator's wall clock jumps by an hour, there and back: lease, window and growth count real time."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from soak.stage import SLOTS, Stage, clients, prepare, watched
from testcluster import definition, packages

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from testcluster.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

WINDOW = 15
HOUR = "+3600s"
MOST = 6
"""Pods: fewer than 100 clients at 2.5 requests/s of 150 ms each need, whatever they look like at first."""
FEW = 3
"""Pods that cannot carry them: 24 slots for a load of 38."""


@pytest.fixture(scope="module")
def faketime() -> Path:
    packages.ensure({"faketime": "/usr/bin/faketime"}, "the test of the clock")
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


@contextmanager
def operator(
    cluster: Cluster, namespace: str, library: Path, offset: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """An operator of this namespace whose wall clock is off by what the file says; its log lies beside it."""
    program = Path(sys.executable).with_name("mpm-operator")
    health, metrics = 29_500, 29_501  # of the cluster's network
    faked = [
        f"LD_PRELOAD={library}",
        f"FAKETIME_TIMESTAMP_FILE={offset}",
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        f"KUBECONFIG={cluster.kubeconfig}",
    ]
    options = [
        f"--namespace={namespace}",
        f"--lease-namespace={namespace}",
        f"--worker-image={cluster.worker_image}",
        f"--health-port={health}",
        f"--metrics-port={metrics}",
        "--log-format=text",
    ]
    with offset.with_suffix(".log").open("wb") as log:
        process = cluster.popen(["env", *faked, program, *options], stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def lease(stage: Stage) -> tuple[str, str, str]:
    """Who holds it, what its version is and when it says it was renewed."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{stage.namespace}/leases/mpm-operator"
    found = stage.site.api.get(path)
    return (
        found["spec"]["holderIdentity"],
        found["metadata"]["resourceVersion"],
        found["spec"]["renewTime"],
    )


def renewed(stage: Stage) -> str:
    """Wait for two renewals from now on: by who holds the lease."""
    holder, version, _ = lease(stage)
    for _ in range(2):
        stage.until("a renewal of the lease", lambda seen=version: lease(stage)[1] != seen, 60)
        version = lease(stage)[1]
    assert lease(stage)[0] == holder
    return holder


def test_a_jump_of_an_hour_and_back_changes_nothing(
    cluster: Cluster, namespace: str, tmp_path: Path, faketime: Path
) -> None:
    if cluster.site is None:
        pytest.skip("needs an operator process in the cluster's network")
    offset = tmp_path / "offset"
    offset.write_text("+0s")
    stage = Stage(cluster, cluster.site, namespace)
    with (
        definition.defined(cluster),
        operator(cluster, namespace, faketime, offset) as process,
        watched(stage),
    ):
        scaling = {"scaleDownStabilizationSeconds": WINDOW}
        prepare(stage, mpm={"maxRequestWorkers": MOST * SLOTS}, scaling=scaling)
        record = stage.record
        with clients(stage, count=100, period=0.4, milliseconds=150):
            stage.until("all pods", lambda: record.replicas[-1][1] == MOST, 60)
            before = renewed(stage)
            stage.demand(10)
            fell = time.time()
            offset.write_text(HOUR)
            stage.until("a lease with the new time", lambda: faked(stage), 60)
            stage.until("fewer pods", lambda: record.replicas[-1][1] < MOST, 90)
            first = next(at for at, replicas in record.replicas if at > fell and replicas < MOST)
            assert renewed(stage) == before
            stage.until("few pods", lambda: record.replicas[-1][1] <= FEW, 180)
            offset.write_text("+0s")
            stage.until("a lease with the old time", lambda: not faked(stage), 60)
            stage.demand(150)
            jumped, low = time.time(), record.replicas[-1][1]
            stage.until("growth", lambda: record.replicas[-1][1] > low, 60)
            assert renewed(stage) == before
        assert process.poll() is None
    print(
        f"fewer pods {first - fell:.1f} s after the load fell, more {record.replicas[-1][0] - jumped:.1f} s"
    )
    assert first - fell >= WINDOW - 1, "the window is real time"
    assert not record.failures


def faked(stage: Stage) -> bool:
    """Whether the lease tells the time of the jump."""
    told = time.strptime(lease(stage)[2][:19], "%Y-%m-%dT%H:%M:%S")
    return time.mktime(told) - time.mktime(time.gmtime()) > 1800
