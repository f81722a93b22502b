"""The definition on the real API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from testcluster import definition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testcluster.cluster import Cluster


@pytest.fixture(scope="module")
def defined(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, with the present definition served."""
    with definition.defined(cluster) as served:
        yield served


@pytest.fixture
def create(defined: Cluster) -> Callable[[str], str]:
    """`kubectl create` of YAML text; nothing is kept."""

    def create(document: str) -> str:
        return defined.kubectl("create", "--dry-run=server", "--filename=-", input=document)

    return create
