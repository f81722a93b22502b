"""Parts of the cluster and of the product fail under load: the rest goes on, and nothing else is hurt."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from soak.acts import restart_etcd
from soak.stage import WORKER, Stage, clients, prepare, watched
from testcluster import faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soak.record import Pod, Record
    from testcluster.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

PATIENT = {"podTemplate": {"spec": {"containers": [WORKER | {"livenessProbe": {"failureThreshold": 30}}]}}}
"""The kubelet would restart a pod that does not answer, as it should; not during these tests."""

CGROUP_V1 = Path("/sys/fs/cgroup/memory").is_dir()


@pytest.fixture
def stage(installed: Cluster, namespace: str) -> Stage:
    if installed.site is None:
        pytest.skip("needs a cluster whose parts may be killed")
    return Stage(installed, installed.site, namespace)


@contextmanager
def stopped(stage: Stage, pod: Pod) -> Iterator[None]:
    """The pod's supervisor stands still meanwhile; its children do not."""
    pid = faults.first_of(faults.in_containers(stage.site, "MPM_POD_NAME", pod.name))
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def replicas_after(record: Record, moment: float) -> list[int]:
    return [replicas for at, replicas in record.replicas if at >= moment]


def all_happened(record: Record) -> None:
    assert not [act for act in record.acts if act.failure]


def no_failure(record: Record) -> None:
    all_happened(record)
    assert not record.failures, record.failures[:5]


def test_without_an_api_server_pods_serve_and_get_threads_and_the_operator_resumes_without_a_thrash(
    stage: Stage,
) -> None:
    with watched(stage):
        prepare(stage, mpm={"threadsPerChild": 4}, scaling={"scaleDownStabilizationSeconds": 30})
        with clients(stage, count=100, period=0.4, milliseconds=10):
            time.sleep(3)
            with stage.record.doing("API server down"), faults.without(stage.site, "kube-apiserver"):
                stage.demand(150)
                took = stage.until(
                    "a thread more in a pod",
                    lambda: any(pod.lines[-1].threads > 4 for pod in stage.record.serving()),
                    60,
                )
                time.sleep(max(0.0, 15 - took))  # longer than the operator trusts its lease
                assert stage.record.seconds[-1]["requests"] > 0, "pods serve without an API server"
            back = time.time()
            resumed = stage.until("growth", lambda: replicas_after(stage.record, back), 90)
            time.sleep(10)
    print(f"threads came after {took:.1f} s, pods {resumed:.1f} s after the API server")
    replicas = replicas_after(stage.record, back)
    assert replicas == sorted(replicas), "one direction: nothing is taken back"
    no_failure(stage.record)


def test_a_restart_of_etcd_cuts_nothing_and_scaling_goes_on(stage: Stage) -> None:
    with watched(stage):
        prepare(stage)
        with clients(stage, count=100, period=0.4, milliseconds=10):
            restart_etcd(stage)
            back = time.time()
            stage.demand(150)
            took = stage.until("growth", lambda: replicas_after(stage.record, back), 60)
    print(f"growth {took:.1f} s after etcd")
    no_failure(stage.record)


def test_a_pod_whose_supervisor_stands_still_is_no_victim_and_keeps_its_load(stage: Stage) -> None:
    with watched(stage):
        prepare(stage, scaling={"minReplicas": 4}, **PATIENT)
        with clients(stage, count=100, period=0.4, milliseconds=40):
            time.sleep(2)
            silent = max(stage.record.serving(), key=lambda pod: pod.created)
            with stopped(stage, silent):
                time.sleep(4)  # it counts as silent after three seconds without a line
                stage.change({"scaling": {"minReplicas": 2}})
                gone = stage.until(
                    "another pod to go", lambda: any(pod.was_victim for pod in stage.record.pods.values()), 60
                )
                assert silent.told_at is None, "nobody knows what it serves"
                moment = time.time()
                stage.demand(200)
                grown = stage.until(
                    "others to grow",
                    lambda: max(replicas_after(stage.record, moment), default=0) > 3,
                    60,
                )
                assert silent.told_at is None
            stage.until("the pod to speak again", lambda: silent.lines[-1].at > moment and silent.ready, 60)
    print(f"another pod went after {gone:.1f} s, others grew after {grown:.1f} s")
    no_failure(stage.record)


EATER = """
import socket
import time
from urllib.parse import parse_qs

POD = socket.gethostname()
eaten = []

def application(environ, start_response):
    query = parse_qs(environ.get("QUERY_STRING", ""))
    while "eat" in query:
        eaten.append(b"x" * 2**20)
    time.sleep(int(query.get("ms", ["0"])[0]) / 1000)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3"), ("X-Pod", POD)])
    return [b"ok\\n"]
"""


def test_a_child_that_eats_all_memory_takes_only_its_own_requests_with_it(stage: Stage) -> None:
    """cgroup v1 kills the child; v2 the whole container (kubelets group them), which starts again."""
    count = 40
    with watched(stage):
        prepare(stage, code=EATER, mpm={"processesPerPod": 2, "startServers": 4, "maxRequestWorkers": 32})
        with clients(stage, count=count, period=0.4, milliseconds=50):
            time.sleep(3)
            boots = {pod.name: pod.boot for pod in stage.record.serving()}
            with stage.record.doing("memory eaten"):
                eat = "import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=60).read()"
                with pytest.raises(Exception, match="exit code"):
                    stage.cluster.run(["python3", "-c", eat, f"{stage.address()}?eat=1"], timeout=90)
                stage.until("all pods again", lambda: len(stage.record.serving()) >= 2, 60)
            time.sleep(3)
            over = time.time()
            time.sleep(3)
    all_happened(stage.record)
    failures = stage.record.failures
    pods = {failure["pod"] for failure in failures if failure.get("pod")}
    print(f"cgroup v{1 if CGROUP_V1 else 2}: {len(failures)} other requests failed, of {pods or 'nobody'}")
    assert len(pods) <= 1, "only requests of one pod"
    assert len(failures) <= count
    assert all(failure["at"] < over for failure in failures), "and then none any more"
    again = {pod.name: pod.boot for pod in stage.record.serving()}
    same = [name for name, boot in boots.items() if again.get(name) == boot]
    if CGROUP_V1:
        assert len(same) == len(boots), "the kernel killed one process: no supervisor restarted"
        assert all(pod.restarts == 0 for pod in stage.record.pods.values())
    else:
        assert len(same) == len(boots) - 1, "the container with the child restarted, no other"
