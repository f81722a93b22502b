"""The product as a user has it: the chart installed on the real cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testcluster.cluster import Cluster

REPOSITORY = Path(__file__).parents[2]
RELEASE = "mpm-operator"
NAMESPACE = "mpm-system"


def repository_and_tag(image: str) -> tuple[str, str]:
    repository, _, tag = image.rpartition(":")
    return repository, tag


def install(cluster: Cluster, *extra: str) -> None:
    """`helm upgrade --install` of the chart with this checkout's images, until its pods are ready."""
    repository, tag = repository_and_tag(cluster.operator_image)
    worker_repository, worker_tag = repository_and_tag(cluster.worker_image)
    cluster.helm(
        "upgrade",
        "--install",
        RELEASE,
        str(REPOSITORY / "charts" / "mpm-operator"),
        f"--namespace={NAMESPACE}",
        "--create-namespace",
        f"--set=image.repository={repository}",
        f"--set=image.tag={tag}",
        f"--set=workerImage.repository={worker_repository}",
        f"--set=workerImage.tag={worker_tag}",
        *extra,
        "--wait",
        "--timeout=120s",
    )


def uninstall(cluster: Cluster) -> None:
    cluster.helm("uninstall", RELEASE, f"--namespace={NAMESPACE}", "--ignore-not-found", "--wait")


@pytest.fixture(scope="module")
def installed(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with the chart on it, for the tests of one file."""
    install(cluster)
    yield cluster
    uninstall(cluster)
