"""Fixtures for tests on the real cluster: `cluster` (one a session) and `namespace` (one a test).

MPM_TEST_KUBECONFIG=FILE  use that cluster instead of starting one
MPM_TEST_CLUSTER=NAME     use the cluster that `cluster.py up --name NAME` left: saves the start each time
"""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testcluster import binaries, lifecycle, packages, places
from testcluster.cluster import Cluster
from testcluster.errors import ClusterError
from testcluster.shell import locked

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER = ".owner"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The real cluster: somebody's own, one that runs already, or one for this session."""
    kubeconfig, name = os.environ.get("MPM_TEST_KUBECONFIG"), os.environ.get("MPM_TEST_CLUSTER")
    if kubeconfig:
        binaries.ensure(binaries.KUBERNETES, binaries.HELM)
        yield Cluster.existing(Path(kubeconfig))
        return
    skip_without_root()
    end_abandoned()
    if name:
        found = Cluster.at(lifecycle.Site(name))
        found.load_images()
        yield found
        return
    with session_cluster() as found:
        yield found


@pytest.fixture(scope="session")
def agents() -> None:
    """Debian's readers of scoreboards are installed, and httpd itself."""
    try:
        packages.ensure(packages.AGENTS, "running the real readers of scoreboards")
    except ClusterError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def netdata() -> Path:
    """The program with netdata's apache collector."""
    try:
        binaries.ensure(binaries.NETDATA)
    except (ClusterError, OSError) as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    return binaries.NETDATA.directory / "netdata-apache"


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace; its deletion goes on in the background."""
    name = f"t-{secrets.token_hex(4)}"
    cluster.create_namespace(name)
    yield name
    cluster.delete_namespace(name)


def skip_without_root() -> None:
    """Without root a test run says how to get a cluster and goes on; in CI that would hide a failure."""
    try:
        lifecycle.require_root()
    except ClusterError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@contextmanager
def session_cluster() -> Iterator[Cluster]:
    """A cluster of this process's own, so that several sessions can run side by side."""
    site = lifecycle.Site(f"test-{os.getpid()}")
    with owned(site):
        try:
            lifecycle.up(site)
            yield Cluster.at(site)
        finally:
            lifecycle.down(site)


@contextmanager
def owned(site: lifecycle.Site) -> Iterator[None]:
    """Hold a lock that tells other sessions that this one lives; the kernel frees it even after a kill -9."""
    file = places.clusters() / f"{site.name}{OWNER}"
    file.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        with locked(owners()):
            held = stack.enter_context(file.open("w"))
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
    with locked(owners()):
        file.unlink(missing_ok=True)


def end_abandoned() -> None:
    """End the clusters of sessions that were killed before they could do it.

    One session at a time: two that start together would both find them, and take each other's file before
    its lock for abandoned.
    """
    with locked(owners()):
        for path in places.clusters().glob(f"*{OWNER}"):
            with path.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                lifecycle.down(lifecycle.Site(path.name.removesuffix(OWNER)))
                path.unlink()


def owners() -> Path:
    """The lock over all files of owners. Not the one `lifecycle` takes to end a cluster."""
    return places.cache() / "owners.lock"
