"""A cluster's birth and end.

Everything runs in namespaces made by one unshare(1); `node` is process 1 in them and `processes` finds it
again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from testcluster import binaries, cgroups, images, packages, places, processes
from testcluster.api import Api
from testcluster.components import API, CONTAINERD_SOCKET, IDENTITIES, NODE, Layout, components, files
from testcluster.errors import ClusterError
from testcluster.shell import locked

if TYPE_CHECKING:
    from collections.abc import Callable

READY_DEADLINE = 150.0
"""Seconds for the node to become Ready. Ten times what it takes on two idle cores."""


@dataclass(frozen=True)
class Site:
    """Where the cluster called `name` is, whether it runs or not."""

    name: str

    @property
    def run(self) -> Path:
        return places.clusters() / self.name

    @property
    def cgroup(self) -> str:
        """Unique on the machine, also when two users call their clusters the same."""
        return f"mpm-operator-{self.name}-{hashlib.sha256(str(self.run).encode()).hexdigest()[:8]}"

    @property
    def layout(self) -> Layout:
        return Layout(self.run, self.cgroup)

    @property
    def kubeconfig(self) -> Path:
        """For clients on the host and in the cluster's network."""
        return self.run / "kubeconfig"

    @property
    def node_pid(self) -> int | None:
        """The host's number of the cluster's process 1, while it is alive."""
        try:
            pid = int((self.run / "node.pid").read_text())
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if f"{processes.MARK}={self.run}".encode() in environment.split(b"\0") else None

    @property
    def api(self) -> Api:
        # kubectl writes YAML once somebody chose another namespace (`kubectl config set-context`).
        known = yaml.safe_load(self.kubeconfig.read_text())
        return Api(known["clusters"][0]["cluster"]["server"], self.layout.authority)

    def enter(self, *kinds: str) -> list[str]:
        """argv that runs what follows it in namespaces of the node: net, mount, pid."""
        pid = self.node_pid
        if pid is None:
            raise ClusterError(
                f"cluster {self.name} does not run: start it by cluster.py up --name {self.name}"
            )
        return ["nsenter", f"--target={pid}", *(f"--{kind}" for kind in kinds or ("net",)), "--"]


def require_root() -> None:
    if sys.platform != "linux" or os.geteuid():
        raise ClusterError(
            "the test cluster needs Linux and root (namespaces, mounts, control groups): run this as root, "
            "or set MPM_TEST_KUBECONFIG to the kubeconfig of a cluster that tests may use"
        )


def up(site: Site) -> None:
    """Start the cluster, after ending what has its name, and wait until a pod of our images could start."""
    tools()
    built = images.ensure()
    start(site)
    load(site, built)
    wait_ready(site)


def tools() -> None:
    """Packages and binaries, where they are missing."""
    require_root()
    packages.ensure()
    binaries.ensure(*binaries.MODULES)


def start(site: Site) -> None:
    """Everything up to a living process 1, which starts the rest on its own."""
    with locked(lock()):
        remove(site)
        listener = socket.create_server(("127.0.0.1", 0))
        with listener:
            write_files(site, f"https://127.0.0.1:{listener.getsockname()[1]}", listener.fileno())
            cgroups.create(site.cgroup)
            node = start_node(site, listener.fileno())
    while not site.node_pid:
        if node.poll() is not None:
            raise ClusterError(f"cluster {site.name} did not start\n{log_tail(site, 'node')}")
        time.sleep(0.02)
    # It is meant to outlive this process; Popen's warning about that would be an error in pytest.
    node.returncode = 0


def lock() -> Path:
    """One for all clusters: it is held for a second, and a lock file for each name would stay for ever."""
    return places.cache() / "clusters.lock"


def write_files(site: Site, server: str, gateway_socket: int) -> None:
    layout = site.layout
    site.run.mkdir(parents=True, mode=0o700)
    for directory in ("config/cni", "log", "kubelet", "cni", "tunables"):
        (site.run / directory).mkdir(parents=True)
    layout.authority.create()
    for identity in IDENTITIES:
        layout.authority.sign(identity)
        if not identity.names or identity.file == "kubelet":
            Path(layout.config(f"{identity.file}.kubeconfig")).write_text(
                layout.authority.kubeconfig(identity.file, API)
            )
    site.kubeconfig.write_text(layout.authority.kubeconfig("admin", server))
    for name, text in files(layout).items():
        Path(layout.config(name)).write_text(text)
    gateway = [sys.executable, "-m", "testcluster.gateway", str(gateway_socket)]
    started = [asdict(component) for component in components(layout, binaries.program, gateway)]
    (site.run / "components.json").write_text(json.dumps(started, indent=2))
    wrapper = site.run / "kubectl"
    kubectl = binaries.program("kubectl")
    wrapper.write_text(f'#!/bin/sh\nexec {kubectl} --kubeconfig {site.kubeconfig} "$@"\n')
    wrapper.chmod(0o755)


def start_node(site: Site, gateway_socket: int) -> subprocess.Popen[bytes]:
    """Detached from this process and its session: it outlives the command that started it."""
    namespaces = ["--mount", "--net", "--pid", "--fork", "--kill-child"]
    node = [sys.executable, "-m", "testcluster.node", str(site.run), str(gateway_socket)]
    environment = processes.environment(site.run)
    environment["PYTHONPATH"] = str(places.SOURCES)
    environment["PATH"] = f"{environment.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
    with (site.run / "log" / "node.log").open("ab") as log:
        return subprocess.Popen(
            ["unshare", *namespaces, *node],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[gateway_socket],
            cwd="/",
            env=environment,
            start_new_session=True,
        )


def load(site: Site, built: list[images.Image]) -> None:
    """Bring images into the node, as soon as its containerd answers."""
    socket_path = Path(f"/proc/{site.node_pid}/root{CONTAINERD_SOCKET}")
    wait(site, lambda: "" if socket_path.exists() else "containerd does not listen")
    images.load(site.enter("mount", "net", "pid"), built)


def wait_ready(site: Site) -> None:
    """Until a pod could be scheduled and started."""
    api = site.api
    wait(site, lambda: api.ready(NODE))


def wait(site: Site, missing: Callable[[], str]) -> None:
    """Until `missing()` is empty; an error that shows the logs when the node ends or time runs out."""
    deadline = time.monotonic() + READY_DEADLINE
    while what := missing():
        if not processes.marked(site.run):
            raise ClusterError(f"cluster {site.name} ended while it started\n{log_tail(site, 'node')}")
        if time.monotonic() > deadline:
            raise ClusterError(
                f"cluster {site.name}: {what} after {READY_DEADLINE:g} s; logs: {site.run}/log"
            )
        time.sleep(0.1)


def log_tail(site: Site, component: str) -> str:
    return (site.run / "log" / f"{component}.log").read_text()[-2000:]


def down(site: Site) -> int:
    """End the cluster and remove all of it; how many processes it had. Fine when there is none."""
    require_root()
    with locked(lock()):
        return remove(site)


def remove(site: Site) -> int:
    ended = processes.end(site.run, site.node_pid)
    cgroups.remove(site.cgroup)
    if site.run.exists():
        left = [
            line for line in Path("/proc/self/mounts").read_text().splitlines() if f" {site.run}/" in line
        ]
        if left:  # none is expected: deleting through a mount would delete something else
            raise ClusterError(f"mounts under {site.run}, unmount them first: {left}")
        shutil.rmtree(site.run)
    return ended


def names() -> list[str]:
    """Every cluster that left or has a run directory."""
    if not places.clusters().is_dir():
        return []
    return sorted(path.name for path in places.clusters().iterdir() if path.is_dir())
