"""The test cluster itself: the node is ready, pods run as ours do, Services answer, and the end is clean.

What a killed run leaves is tried on a second cluster, which thereby shows that two can run side by side.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from testcluster import cgroups, fixtures, lifecycle, places, processes
from testcluster.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            open("/written", "w")
            writable = True
        except OSError:
            writable = False
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f'{{"uid": {os.getuid()}, "writable": {str(writable).lower()}}}'.encode())
http.server.HTTPServer(("", 8080), Handler).serve_forever()
"""

FETCH = """
import sys, time, urllib.request
for attempt in range(100):  # kube-proxy learns of a ready pod a moment after kubectl does
    try:
        print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())
        break
    except OSError as error:
        print(error, file=sys.stderr)
        time.sleep(0.1)
else:
    sys.exit(1)
"""


def pod_and_service(image: str) -> list[dict[str, Any]]:
    container = {
        "name": "server",
        "image": image,
        "command": ["python3", "-c", SERVER],
        "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 1},
        "securityContext": {
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "server", "labels": {"app": "server"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server"},
        "spec": {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    return [pod, service]


def test_node_is_ready_and_reachable_from_the_host(cluster: Cluster) -> None:
    ready = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
    assert cluster.kubectl("get", "node", cluster.node, f"--output={ready}") == "True"


def test_pod_of_the_worker_image_serves_by_cluster_ip_without_root_or_a_writable_disk(
    cluster: Cluster, namespace: str
) -> None:
    cluster.apply(*pod_and_service(cluster.worker_image), namespace=namespace)
    cluster.kubectl(
        *("wait", "--for=condition=Ready", "pod/server", "--timeout=100s", f"--namespace={namespace}"),
        timeout=120,
    )
    address = cluster.get("service", "server", f"--namespace={namespace}")["spec"]["clusterIP"]
    answer = cluster.run([sys.executable, "-c", FETCH, f"http://{address}/"])
    assert json.loads(answer) == {"uid": 65532, "writable": False}


def test_audit_log_names_the_writer(cluster: Cluster, namespace: str) -> None:
    if not cluster.site:
        pytest.skip("the audit log of a foreign cluster cannot be read")
    cluster.kubectl("create", "configmap", "note", f"--namespace={namespace}")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [each for each in cluster.writes() if each["objectRef"].get("namespace") == namespace]
        writers = {each["user"]["username"] for each in found if each["objectRef"].get("name") == "note"}
        if writers:
            assert writers == {"admin"}
            return
        time.sleep(0.1)
    pytest.fail("the write did not reach the audit log in a minute")


@pytest.fixture
def second(cluster: Cluster) -> Iterator[lifecycle.Site]:
    """A cluster that may be broken: up to its API server, without images."""
    if not cluster.site:
        pytest.skip("starts a cluster of its own, so not with MPM_TEST_KUBECONFIG")
    site = lifecycle.Site(f"broken-{os.getpid()}")
    with fixtures.owned(site):
        try:
            lifecycle.start(site)
            lifecycle.wait_ready(site)
            yield site
        finally:
            lifecycle.down(site)


def test_down_leaves_nothing_even_after_components_were_killed(
    cluster: Cluster, second: lifecycle.Site
) -> None:
    node = second.node_pid
    assert node
    run_pod(second, cluster.worker_image)
    entered = subprocess.Popen([*second.enter("net"), "sleep", "300"])
    kill_components(second, "containerd", "kubelet", "etcd")
    network = processes.namespace(node, "net")

    assert lifecycle.down(second) > 0

    assert entered.wait(timeout=60) == -signal.SIGKILL
    assert processes.marked(second.run) == []
    assert network not in networks_in_use()
    assert cgroups.leftovers(second.cgroup) == []
    assert str(second.run) not in Path("/proc/self/mounts").read_text()
    assert not second.run.exists()
    assert cluster.kubectl("get", "--raw=/readyz") == "ok"


def test_down_leaves_nothing_after_its_first_process_was_killed(second: lifecycle.Site) -> None:
    node = second.node_pid
    assert node
    os.kill(node, signal.SIGKILL)
    script = Path(__file__).with_name("cluster.py")
    done = subprocess.run([sys.executable, script, "down", "--name", second.name], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert processes.marked(second.run) == []
    assert cgroups.leftovers(second.cgroup) == []
    assert not second.run.exists()


SESSION = """
import sys, time
from testcluster import fixtures, lifecycle
site = lifecycle.Site(sys.argv[1])
with fixtures.owned(site):
    lifecycle.start(site)
    print("started", flush=True)
    time.sleep(300)
"""


def test_cluster_of_a_killed_session_is_ended_by_the_next_one(cluster: Cluster) -> None:
    if not cluster.site:
        pytest.skip("starts a cluster of its own, so not with MPM_TEST_KUBECONFIG")
    site = lifecycle.Site(f"orphan-{os.getpid()}")
    session = subprocess.Popen(
        [sys.executable, "-c", SESSION, site.name],
        env={**os.environ, "PYTHONPATH": str(places.SOURCES)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with session:
        assert session.stdout
        assert session.stdout.readline() == "started\n"
        fixtures.end_abandoned()
        assert site.node_pid, "the session lives, so its cluster does"
        session.kill()
    assert site.node_pid
    fixtures.end_abandoned()
    assert processes.marked(site.run) == []
    assert not site.run.exists()


def test_sessions_that_start_together_end_abandoned_clusters_without_a_quarrel() -> None:
    lifecycle.require_root()
    left = [places.clusters() / f"left-{os.getpid()}-{number}{fixtures.OWNER}" for number in range(30)]
    places.clusters().mkdir(parents=True, exist_ok=True)
    for file in left:
        file.touch()
    sessions = [
        subprocess.Popen(
            [sys.executable, "-c", "from testcluster import fixtures; fixtures.end_abandoned()"],
            env={**os.environ, "PYTHONPATH": str(places.SOURCES)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    assert [session.communicate(timeout=120)[1] for session in sessions] == ["", "", ""]
    assert not [file for file in left if file.exists()]


def run_pod(site: lifecycle.Site, image: str) -> None:
    running = Cluster.at(site)
    running.load_images()
    running.apply(*pod_and_service(image))
    running.kubectl("wait", "--for=condition=Ready", "pod/server", "--timeout=100s", timeout=120)


def kill_components(site: lifecycle.Site, *names: str) -> None:
    for pid in processes.marked(site.run):
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if Path(argv[0].decode()).name in names:
            os.kill(pid, signal.SIGKILL)


def networks_in_use() -> set[str]:
    found = set()
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                found.add(processes.namespace(int(directory.name), "net"))
            except OSError:
                continue
    return found
