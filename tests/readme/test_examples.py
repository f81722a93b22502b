"""Every example is one that the real API server takes as it stands, and that `mpm run` reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testcluster import definition

from mpm_operator.local.document import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testcluster.cluster import Cluster

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(
    file for file in (ROOT / "examples").rglob("*.yaml") if "\nkind: WebServer\n" in file.read_text()
)
"""The others are for plain Deployments of the worker image and need autoscalers that a bare cluster lacks."""


@pytest.fixture(scope="module")
def defined(cluster: Cluster) -> Iterator[Cluster]:
    with definition.defined(cluster) as served:
        yield served


@pytest.mark.cluster
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_api_server_takes_it(defined: Cluster, file: Path) -> None:
    taken = defined.kubectl("create", "--dry-run=server", "--validate=strict", f"--filename={file}")
    assert "webserver.mpm-operator.io/" in taken


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(ROOT)))
def test_mpm_run_reads_it(file: Path) -> None:
    assert load(file).name
