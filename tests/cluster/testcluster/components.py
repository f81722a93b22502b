"""What runs in the cluster and with which flags: values only, written to files by `lifecycle`.

The addresses may be the same in every cluster, because each has a network namespace of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from testcluster.certificates import Authority, Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

NODE = "node"
NODE_IP = "192.168.77.2"
POD_CIDR = "10.244.0.0/16"
BRIDGE_CIDR = "10.244.0.0/24"
BRIDGE_ADDRESS = "10.244.0.1/24"
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_IP = "10.96.0.1"
DNS_IP = "10.96.0.10"
API_PORT = 6443
API = f"https://{NODE_IP}:{API_PORT}"
ETCD = "http://127.0.0.1:2379"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "localhost/pause:v0"

API_NAMES = (
    *(f"IP:{address}" for address in ("127.0.0.1", NODE_IP, API_SERVICE_IP)),
    *(f"DNS:{name}" for name in ("localhost", "kubernetes", "kubernetes.default.svc")),
)

IDENTITIES = (
    Identity("admin", "admin", "system:masters"),
    Identity("kube-apiserver", "kube-apiserver", "system:masters", API_NAMES),
    Identity("front-proxy", "front-proxy"),
    Identity("kube-controller-manager", "system:kube-controller-manager"),
    Identity("kube-scheduler", "system:kube-scheduler"),
    Identity("kube-proxy", "system:kube-proxy"),
    Identity("kubelet", f"system:node:{NODE}", "system:nodes", (f"IP:{NODE_IP}", f"DNS:{NODE}")),
)


@dataclass(frozen=True)
class Component:
    """One process of the node."""

    name: str
    argv: list[str]
    needs_api: bool = False
    """Started once /readyz says ok: several give up, or wait for seconds, when they come too early."""


@dataclass(frozen=True)
class Layout:
    """The files of one cluster under its run directory."""

    run: Path
    cgroup: str
    """Parent of all pods' control groups, relative to the root of every hierarchy."""

    @property
    def authority(self) -> Authority:
        return Authority(self.run / "certificates")

    def certificate(self, file: str) -> str:
        return str(self.run / "certificates" / file)

    def config(self, file: str) -> str:
        return str(self.run / "config" / file)


def components(layout: Layout, program: Callable[[str], Path], gateway: list[str]) -> list[Component]:
    """Every process of the node in the order of its start; `gateway` is the argv of the host's way in."""
    return [
        Component("gateway", gateway),
        Component("etcd", etcd(layout, program("etcd"))),
        Component("containerd", ["/usr/bin/containerd", "--config", layout.config("containerd.toml")]),
        Component("kube-apiserver", apiserver(layout, program("kube-apiserver"))),
        Component("kubelet", kubelet(layout, program("kubelet")), needs_api=True),
        Component(
            "kube-controller-manager",
            controller_manager(layout, program("kube-controller-manager")),
            needs_api=True,
        ),
        Component("kube-scheduler", scheduler(layout, program("kube-scheduler")), needs_api=True),
        Component("kube-proxy", proxy(layout, program("kube-proxy")), needs_api=True),
    ]


def etcd(layout: Layout, program: Path) -> list[str]:
    """Without fsync: a cluster that lives for one test run has nothing to recover."""
    flags = {
        "data-dir": str(layout.run / "etcd"),
        "unsafe-no-fsync": "true",
        "listen-client-urls": ETCD,
        "advertise-client-urls": ETCD,
        "listen-peer-urls": "http://127.0.0.1:2380",
        "log-level": "warn",
    }
    return [str(program), *as_flags(flags)]


def apiserver(layout: Layout, program: Path) -> list[str]:
    flags = {
        "advertise-address": NODE_IP,
        "secure-port": str(API_PORT),
        "etcd-servers": ETCD,
        "service-cluster-ip-range": SERVICE_CIDR,
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "allow-privileged": "true",
        "client-ca-file": layout.certificate("ca.crt"),
        "tls-cert-file": layout.certificate("kube-apiserver.crt"),
        "tls-private-key-file": layout.certificate("kube-apiserver.key"),
        "kubelet-certificate-authority": layout.certificate("ca.crt"),
        "kubelet-client-certificate": layout.certificate("kube-apiserver.crt"),
        "kubelet-client-key": layout.certificate("kube-apiserver.key"),
        "kubelet-preferred-address-types": "InternalIP",
        # The aggregation layer, as every cluster has it: metrics.k8s.io is somebody else's server.
        "requestheader-client-ca-file": layout.certificate("ca.crt"),
        "requestheader-allowed-names": "front-proxy",
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "proxy-client-cert-file": layout.certificate("front-proxy.crt"),
        "proxy-client-key-file": layout.certificate("front-proxy.key"),
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": layout.certificate("service-account.key"),
        "service-account-signing-key-file": layout.certificate("service-account.key"),
        "audit-policy-file": layout.config("audit.json"),
        "audit-log-path": str(layout.run / "log" / "audit.log"),
        "profiling": "false",
    }
    return [str(program), *as_flags(flags)]


def controller_manager(layout: Layout, program: Path) -> list[str]:
    """Patient with a node that no API server lets speak: after a minute without one it would call all pods
    not ready by what it last saw, and whether requests are refused then would be chance, not our doing."""
    flags = {
        "kubeconfig": layout.config("kube-controller-manager.kubeconfig"),
        "use-service-account-credentials": "true",
        "service-account-private-key-file": layout.certificate("service-account.key"),
        "root-ca-file": layout.certificate("ca.crt"),
        "cluster-signing-cert-file": layout.certificate("ca.crt"),
        "cluster-signing-key-file": layout.certificate("ca.key"),
        "allocate-node-cidrs": "true",
        "cluster-cidr": POD_CIDR,
        "service-cluster-ip-range": SERVICE_CIDR,
        "leader-elect": "false",
        "node-monitor-grace-period": "5m",
    }
    return [str(program), *as_flags(flags)]


def scheduler(layout: Layout, program: Path) -> list[str]:
    flags = {"kubeconfig": layout.config("kube-scheduler.kubeconfig"), "leader-elect": "false"}
    return [str(program), *as_flags(flags)]


def proxy(layout: Layout, program: Path) -> list[str]:
    """conntrack's limits belong to the whole machine: 0 leaves them as they are."""
    flags = {
        "kubeconfig": layout.config("kube-proxy.kubeconfig"),
        "hostname-override": NODE,
        "proxy-mode": "nftables",
        "cluster-cidr": POD_CIDR,
        "conntrack-max-per-core": "0",
        "conntrack-min": "0",
        "conntrack-tcp-timeout-established": "0s",
        "conntrack-tcp-timeout-close-wait": "0s",
    }
    return [str(program), *as_flags(flags)]


def kubelet(layout: Layout, program: Path) -> list[str]:
    flags = {
        "kubeconfig": layout.config("kubelet.kubeconfig"),
        "config": layout.config("kubelet.json"),
        "hostname-override": NODE,
        "node-ip": NODE_IP,
    }
    return [str(program), *as_flags(flags)]


def as_flags(flags: Mapping[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in flags.items()]


def files(layout: Layout) -> dict[str, str]:
    """Names and texts of the files under config/, kubeconfigs excepted."""
    return {
        "kubelet.json": json.dumps(kubelet_configuration(layout), indent=2),
        "audit.json": json.dumps(audit_policy(), indent=2),
        "containerd.toml": containerd_configuration(layout),
        "cni/10-bridge.conflist": json.dumps(bridge_network(), indent=2),
        "resolv.conf": f"nameserver {DNS_IP}\n",
    }


def kubelet_configuration(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": layout.certificate("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": layout.certificate("kubelet.crt"),
        "tlsPrivateKeyFile": layout.certificate("kubelet.key"),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.cgroup}",
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [DNS_IP],
        "clusterDomain": "cluster.local",
        "resolvConf": layout.config("resolv.conf"),
        "volumePluginDir": str(layout.run / "volume-plugins"),
        # The developer's disk may be nearly full; that must not evict a test's pods or delete its images.
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "maxPods": 200,
    }


def audit_policy() -> dict[str, Any]:
    """One line a finished write, so that a test can count who writes what."""
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
            {"level": "None"},
        ],
    }


def containerd_configuration(layout: Layout) -> str:
    """restrict_oom_score_adj: without CAP_SYS_RESOURCE runc may not lower a score, and fails."""
    return f"""\
version = 2
root = "{layout.run}/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{layout.run}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{layout.config("cni")}"
"""


def bridge_network() -> dict[str, Any]:
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": "/run/cni",
            "ranges": [[{"subnet": BRIDGE_CIDR}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]}
