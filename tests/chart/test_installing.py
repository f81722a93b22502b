"""The chart on the real cluster, in a namespace that admits only restricted pods."""

from __future__ import annotations

import re
import secrets
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from testcluster import definition
from testcluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testcluster.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

APP = 'def app(environ, start_response):\n    start_response("200 OK", [])\n    return [b"hello"]\n'


@pytest.fixture(scope="module")
def served(cluster: Cluster) -> Iterator[Cluster]:
    with definition.defined(cluster) as served:
        yield served


@pytest.fixture(scope="module")
def release(served: Cluster, chart: Path) -> Iterator[str]:
    """Name of a release that serves the namespace of the same name, and no other."""
    name = f"chart-{secrets.token_hex(3)}"
    served.create_namespace(name)
    served.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    install(served, chart, name)
    yield name
    served.helm("uninstall", name, f"--namespace={name}", "--ignore-not-found")
    served.delete_namespace(name)


def install(cluster: Cluster, chart: Path, name: str, *options: str) -> None:
    images = {"image": cluster.operator_image, "workerImage": cluster.worker_image}
    parts = {name: image.rpartition(":") for name, image in images.items()}
    cluster.helm(
        "upgrade",
        "--install",
        name,
        str(chart),
        f"--namespace={name}",
        "--set=crds.install=false",
        f"--set=watchNamespaces={{{name}}}",
        *(f"--set={name}.repository={part[0]},{name}.tag={part[2]}" for name, part in parts.items()),
        *options,
        "--wait",
        "--timeout=120s",
    )


def account(release: str) -> str:
    return f"--as=system:serviceaccount:{release}:{release}-mpm-operator"


def may(cluster: Cluster, *question: str) -> bool:
    try:
        return cluster.kubectl("auth", "can-i", *question).strip() == "yes"
    except ClusterError:
        return False


def test_restricted_pods_become_ready(served: Cluster, release: str) -> None:
    deployment = served.get("deployment", f"{release}-mpm-operator", f"--namespace={release}")
    assert deployment["status"]["readyReplicas"] == 2


def test_one_of_them_holds_the_lease_and_made_the_master_key(served: Cluster, release: str) -> None:
    lease = served.get("lease", f"{release}-mpm-operator", f"--namespace={release}")
    assert lease["spec"]["holderIdentity"].startswith(f"{release}-mpm-operator-")
    assert "current" in served.get("secret", "mpm-operator-control", f"--namespace={release}")["data"]


def test_its_rights_suffice_for_a_webserver(served: Cluster, release: str) -> None:
    code: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "hello"},
        "data": {"hello.py": APP},
    }
    hello = {
        "apiVersion": "mpm-operator.io/v1alpha1",
        "kind": "WebServer",
        "metadata": {"name": "hello"},
        "spec": {"app": {"module": "hello:app", "configMapRef": {"name": "hello"}}},
    }
    served.apply(code, hello, namespace=release)
    wait = ("wait", "--for=condition=Ready", "webserver/hello", f"--namespace={release}", "--timeout=150s")
    served.kubectl(*wait, timeout=180)
    said = served.kubectl(
        "logs", f"--namespace={release}", "--selector=app.kubernetes.io/name=mpm-operator", "--tail=-1"
    )
    assert "forbidden" not in said


READ = """
import sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer " + sys.argv[2]})
try:
    answer = urllib.request.urlopen(request, timeout=10)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read().decode())
"""


def pages(cluster: Cluster, release: str, token: str) -> list[str]:
    """What `server-status?auto` of the WebServer `hello` says, six times: both operators get their turns."""
    service = cluster.get("service", f"{release}-mpm-operator-metrics", f"--namespace={release}")
    root = f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"
    url = f"{root}/apis/webservers/{release}/hello/server-status?auto"
    return [cluster.run([sys.executable, "-c", READ, url, token]) for _ in range(6)]


def test_who_may_view_the_webserver_reads_its_page_from_either_operator(
    served: Cluster, release: str
) -> None:
    where = f"--namespace={release}"
    test_its_rights_suffice_for_a_webserver(served, release)
    for name in ("viewer", "nobody"):
        served.kubectl("create", "serviceaccount", name, where)
    member = f"--serviceaccount={release}:viewer"
    served.kubectl("create", "rolebinding", "viewer", "--clusterrole=view", member, where)
    viewer, nobody = (served.kubectl("create", "token", name, where).strip() for name in ("viewer", "nobody"))
    deadline = time.monotonic() + 60
    while not all(page.startswith("200") for page in pages(served, release, viewer)):
        assert time.monotonic() < deadline, pages(served, release, viewer)
        time.sleep(1)
    restarts = [re.search("RestartTime: .*", page) for page in pages(served, release, viewer)]
    assert len({found[0] for found in restarts if found}) == 1
    assert all(page.startswith("403") for page in pages(served, release, nobody))


@pytest.mark.parametrize(
    "question",
    [
        ("delete", "pods"),
        ("delete", "deployments"),
        ("delete", "webservers.mpm-operator.io"),
        ("patch", "webservers.mpm-operator.io"),
        ("create", "pods"),
        ("create", "pods/exec"),
        ("create", "rolebindings"),
        ("get", "nodes"),
    ],
    ids=" ".join,
)
def test_it_may_not_do_what_it_need_not(served: Cluster, release: str, question: tuple[str, str]) -> None:
    assert not may(served, *question, account(release), f"--namespace={release}")


def test_it_reads_no_secret_outside_the_namespaces_it_was_given(served: Cluster, release: str) -> None:
    assert may(served, "list", "secrets", account(release), f"--namespace={release}")
    assert not may(served, "list", "secrets", account(release), "--namespace=kube-system")


@pytest.mark.parametrize(("role", "writes"), [("view", False), ("edit", True), ("admin", True)])
def test_the_clusters_own_roles_reach_webservers(
    served: Cluster, release: str, role: str, writes: bool
) -> None:
    user = f"somebody-{role}"
    served.kubectl(
        "create", "rolebinding", user, f"--clusterrole={role}", f"--user={user}", f"--namespace={release}"
    )
    where = (f"--as={user}", f"--namespace={release}")
    # Another controller adds our roles to the cluster's.
    deadline = time.monotonic() + 60
    while not may(served, "get", "webservers.mpm-operator.io", *where):
        assert time.monotonic() < deadline, f"{role} does not reach WebServers"
        time.sleep(0.5)
    assert may(served, "create", "webservers.mpm-operator.io", *where) is writes
    assert may(served, "patch", "webservers.mpm-operator.io", "--subresource=scale", *where) is writes
    assert not may(served, "patch", "webservers.mpm-operator.io", "--subresource=status", *where)


def test_an_upgrade_hands_over_to_new_pods_and_keeps_the_key(
    served: Cluster, release: str, chart: Path
) -> None:
    def key() -> Any:
        return served.get("secret", "mpm-operator-control", f"--namespace={release}")["data"]

    before = key()
    install(served, chart, release, "--set=logging.level=debug")
    deployment = served.get("deployment", f"{release}-mpm-operator", f"--namespace={release}")
    assert deployment["status"]["updatedReplicas"] == deployment["status"]["readyReplicas"] == 2
    assert key() == before


def test_agents_read_with_the_token_of_a_secret(served: Cluster, release: str, chart: Path) -> None:
    where = f"--namespace={release}"
    test_its_rights_suffice_for_a_webserver(served, release)
    served.kubectl("create", "secret", "generic", "agents", "--from-literal=token=of-the-agents", where)
    install(served, chart, release, "--set=serverStatus.tokenSecret=agents")
    deadline = time.monotonic() + 60
    while not all(page.startswith("200") for page in pages(served, release, "of-the-agents")):
        assert time.monotonic() < deadline, pages(served, release, "of-the-agents")
        time.sleep(1)
    assert all(page.startswith("401") for page in pages(served, release, "of-somebody"))


def test_uninstalling_leaves_webservers_and_their_pods(served: Cluster, release: str) -> None:
    if "webserver" not in served.kubectl("get", "webs", f"--namespace={release}", "--output=name"):
        test_its_rights_suffice_for_a_webserver(served, release)
    served.helm("uninstall", release, f"--namespace={release}", "--wait")
    assert served.get("webserver", "hello", f"--namespace={release}")["metadata"]["name"] == "hello"
    assert served.get("deployment", "hello", f"--namespace={release}")["status"]["readyReplicas"] >= 1
