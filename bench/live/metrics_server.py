"""metrics-server for the HPA: a process in the cluster's network, behind a Service without pods."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from testcluster import binaries
from testcluster.components import NODE_IP
from testcluster.errors import ClusterError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from testcluster.cluster import Cluster

NAME, NAMESPACE, PORT = "metrics-server", "kube-system", 4443
GROUP = "metrics.k8s.io"
PATIENCE_S = 120.0


@contextmanager
def metrics_server(cluster: Cluster, folder: Path) -> Iterator[None]:
    """Serve the metrics API meanwhile; its certificate and log go to `folder`."""
    binaries.ensure(binaries.METRICS_SERVER)
    program = binaries.METRICS_SERVER.directory / NAME
    options = [
        f"--{kind}kubeconfig={cluster.kubeconfig}" for kind in ("", "authentication-", "authorization-")
    ]
    options += [f"--secure-port={PORT}", f"--cert-dir={folder}", "--kubelet-insecure-tls"]
    options += ["--metric-resolution=15s", "--kubelet-preferred-address-types=InternalIP"]
    with (folder / "metrics-server.log").open("wb") as log:
        process = cluster.popen([program, *options], stdout=log, stderr=log)
        try:
            cluster.apply(*_objects(), namespace=NAMESPACE)
            _wait(cluster, process)
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)
            cluster.kubectl("delete", "apiservice", f"v1beta1.{GROUP}", "--ignore-not-found")


def _wait(cluster: Cluster, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"metrics-server ended with {process.returncode}: see its log")
        try:
            # --raw goes with no --output, which Cluster.get asks for.
            if json.loads(cluster.kubectl("get", "--raw", f"/apis/{GROUP}/v1beta1/nodes"))["items"]:
                return
        except ClusterError:
            if time.monotonic() > deadline:
                raise
        time.sleep(1)


def _objects() -> list[dict[str, Any]]:
    meta = {"name": NAME, "namespace": NAMESPACE}
    service = {"ports": [{"name": "https", "port": 443, "targetPort": PORT, "protocol": "TCP"}]}
    endpoints = {
        "addressType": "IPv4",
        "endpoints": [{"addresses": [NODE_IP], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": PORT, "protocol": "TCP"}],
    }
    api = {
        "group": GROUP,
        "version": "v1beta1",
        "service": {"name": NAME, "namespace": NAMESPACE},
        "insecureSkipTLSVerify": True,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    slice_meta = {**meta, "labels": {"kubernetes.io/service-name": NAME}}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service},
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": slice_meta, **endpoints},
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"v1beta1.{GROUP}"},
            "spec": api,
        },
    ]
