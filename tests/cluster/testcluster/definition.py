"""The CustomResourceDefinition on a cluster, for tests that need WebServers but no operator."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from testcluster import places
from testcluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testcluster.cluster import Cluster

FILE = places.PROJECT / "crds" / "mpm-operator.io_webservers.yaml"
NAME = "webservers.mpm-operator.io"
DEADLINE_SECONDS = 90.0


def await_established(cluster: Cluster) -> None:
    """Return when the API server has taken the definition.

    `kubectl wait` itself fails on a definition whose conditions nobody has written yet.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            cluster.kubectl("wait", "--for=condition=Established", "--timeout=50s", f"crd/{NAME}")
        except ClusterError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


@contextmanager
def defined(cluster: Cluster) -> Iterator[Cluster]:
    """WebServers are served meanwhile, as `crds/` says.

    What was not there before is gone afterwards: Helm takes over no object that it has not made itself.
    """
    there = NAME in cluster.kubectl("get", "crd", "--output=name")
    cluster.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={FILE}")
    await_established(cluster)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while NAME not in cluster.kubectl("api-resources", "--api-group=mpm-operator.io", "--output=name"):
        if time.monotonic() > deadline:
            raise ClusterError(f"the API server does not serve {NAME} after {DEADLINE_SECONDS:g} s")
        time.sleep(0.2)
    try:
        yield cluster
    finally:
        if not there:
            cluster.kubectl("delete", "crd", NAME)


def withdraw(cluster: Cluster) -> None:
    """Take away a definition that Helm did not make, and its WebServers: the chart brings its own."""
    labels = cluster.kubectl("get", "crd", NAME, "--ignore-not-found", "--output=jsonpath={.metadata.labels}")
    if "Helm" not in labels:
        cluster.kubectl("delete", "crd", NAME, "--ignore-not-found")
