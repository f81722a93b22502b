"""Lets the tests of this folder import `product` and the soak, and installs the product."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from product import install, uninstall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testcluster.cluster import Cluster


@pytest.fixture(scope="module")
def installed(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with the chart on it, for the tests of one file."""
    install(cluster)
    yield cluster
    uninstall(cluster)
