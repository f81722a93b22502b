"""The definition on the real API server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

CRD = Path(__file__).parents[2] / "crds" / "mpm-operator.io_webservers.yaml"
NAME = "webservers.mpm-operator.io"


@pytest.fixture(scope="session")
def defined(cluster: Any) -> Any:
    """The cluster, with the present definition served. It stays: other tests may hold objects of it."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={CRD}")
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", f"crd/{NAME}")
    deadline = time.monotonic() + 30
    while NAME not in cluster.kubectl("api-resources", "--api-group=mpm-operator.io", "--output=name"):
        assert time.monotonic() < deadline, "the API server does not serve WebServers"
        time.sleep(0.2)
    return cluster


@pytest.fixture
def create(defined: Any) -> Callable[[str], str]:
    """`kubectl create` of YAML text; nothing is kept."""

    def create(document: str) -> str:
        return str(defined.kubectl("create", "--dry-run=server", "--filename=-", input=document))

    return create
