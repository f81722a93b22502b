"""Process 1 of a cluster: prepares its namespaces, starts the components, reaps.

`lifecycle` starts it by unshare(1) in mount, network and process namespaces of its own. When it ends, however
it ends, the kernel ends every process in the namespace, and with the last of them go all mounts and
interfaces: cleaning up is one kill, with no list of things to undo that a crash could lose.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from testcluster.components import (
    API,
    BRIDGE_ADDRESS,
    CONTAINERD_SOCKET,
    NODE_IP,
    SERVICE_CIDR,
    Component,
)

API_DEADLINE = 120.0
"""Seconds for etcd and the API server to become ready: twenty times what they need on two cores."""

KERNEL_TUNABLES = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
"""Settings of the whole machine that a kubelet insists on writing; here it writes to copies."""

PRIVATE = {"/var/lib/kubelet": "kubelet", "/var/lib/cni": "cni", "/var/log": "log"}
"""Paths that Kubernetes and CNI have built in, and the directory of the run that stands there instead."""


def main(run: Path, gateway_socket: int) -> None:
    (run / "node.pid").write_text(os.readlink("/proc/self"))  # the host's number: /proc is still the host's
    mount_private(run)
    start_network()
    waiting = [Component(**component) for component in json.loads((run / "components.json").read_text())]
    names: dict[int, str] = {}
    for component in waiting:
        if not component.needs_api:
            names[start(component, run, gateway_socket)] = component.name
    wait_for_api(run)
    for component in waiting:
        if component.needs_api:
            names[start(component, run, gateway_socket)] = component.name
    reap(names)


def mount_private(run: Path) -> None:
    """All mounts are seen in this mount namespace only, and shared inside it, as volumes need."""
    call("mount", "--make-rshared", "/")
    for number, tunable in enumerate(KERNEL_TUNABLES):
        original = Path("/proc/sys", tunable)
        if original.exists():
            copy = run / "tunables" / str(number)
            copy.write_text(original.read_text())
    call("mount", "-t", "proc", "proc", "/proc")
    for number, tunable in enumerate(KERNEL_TUNABLES):
        if (copy := run / "tunables" / str(number)).exists():
            call("mount", "--bind", str(copy), f"/proc/sys/{tunable}")
    call("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for path, directory in PRIVATE.items():
        Path(path).mkdir(parents=True, exist_ok=True)
        call("mount", "--bind", str(run / directory), path)


def start_network() -> None:
    """No uplink and no default route: nothing leaves the machine.

    The bridge is made before its first pod, so that ClusterIPs have a route from the start; kube-proxy then
    translates them. The bridge plugin takes a bridge of the same name and address as its own.
    """
    call("ip", "link", "set", "lo", "up")
    call("ip", "address", "add", f"{NODE_IP}/32", "dev", "lo")
    call("ip", "link", "add", "cni0", "address", "02:00:00:00:77:02", "type", "bridge")
    call("ip", "address", "add", BRIDGE_ADDRESS, "dev", "cni0")
    call("ip", "link", "set", "cni0", "up")
    call("ip", "route", "add", SERVICE_CIDR, "dev", "cni0", "src", NODE_IP)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    bridged = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if bridged.exists():
        bridged.write_text("1")


def call(*argv: str) -> None:
    subprocess.run(argv, check=True)


def start(component: Component, run: Path, gateway_socket: int) -> int:
    """Process number, in the namespace, of a component whose output goes to log/NAME.log."""
    with (run / "log" / f"{component.name}.log").open("ab") as log:
        process = subprocess.Popen(
            component.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[gateway_socket] if component.name == "gateway" else [],
            start_new_session=True,
        )
    # `reap` collects the exit codes; Popen would warn that it was forgotten.
    process.returncode = 0
    return process.pid


def wait_for_api(run: Path) -> None:
    context = ssl.create_default_context(cafile=str(run / "certificates" / "ca.crt"))
    deadline = time.monotonic() + API_DEADLINE
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{API}/readyz", context=context, timeout=2):
                if Path(CONTAINERD_SOCKET).exists():
                    return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit(f"no answer from {API}/readyz in {API_DEADLINE:g} s; see {run}/log")


def reap(names: dict[int, str]) -> None:
    """Collect ended processes for ever, and say so when one was a component; nothing is restarted."""
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            sys.exit("every process of the cluster has ended")
        if pid in names:
            print(f"{names.pop(pid)} ended with {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
