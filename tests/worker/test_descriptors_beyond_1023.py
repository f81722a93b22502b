"""The depth of a Unix queue that netlink does not tell, of a descriptor that select(2) cannot take."""

from __future__ import annotations

import fcntl
import resource
import socket
from typing import TYPE_CHECKING

import pytest

from mpm_worker import unixqueue

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def many() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many")
def test_whether_somebody_waits_is_told_all_the_same() -> None:
    door = socket.create_server(("127.0.0.1", 0))  # sock_diag finds no Unix socket of that inode
    with door, socket.socket(fileno=fcntl.fcntl(door, fcntl.F_DUPFD_CLOEXEC, 1500)) as high:
        assert unixqueue.depth(high) == (0, 0)
        with socket.create_connection(door.getsockname()):
            assert unixqueue.depth(high) == (1, 0)
