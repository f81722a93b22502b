"""Which processes belong to a cluster, and their end.

A process belongs to it when it was started with MPM_CLUSTER_RUN=DIRECTORY in its environment. That needs no
list of process numbers that a crash could lose or a reuse of numbers could make wrong. Containers do not
carry the mark; they live in the cluster's process namespace and end with its process 1.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from testcluster.errors import ClusterError

MARK = "MPM_CLUSTER_RUN"
DEADLINE = 20.0
"""Seconds for killed processes to be gone."""


def environment(run: Path) -> dict[str, str]:
    """The environment of a process that shall belong to the cluster in `run`."""
    return {**os.environ, MARK: str(run)}


def marked(run: Path) -> list[int]:
    """Process numbers of everything alive that belongs to the cluster in `run`."""
    mark = f"{MARK}={run}".encode()
    found = []
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit() or int(directory.name) == os.getpid():
            continue
        with suppress(OSError):  # it ended meanwhile
            if mark in (directory / "environ").read_bytes().split(b"\0"):
                found.append(int(directory.name))
    return found


def inside(pid: int) -> list[int]:
    """Processes that entered the network namespace of `pid` from outside its process namespace."""
    found = []
    network, processes = namespace(pid, "net"), namespace(pid, "pid")
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            other = int(directory.name)
            with suppress(OSError):
                if namespace(other, "net") == network and namespace(other, "pid") != processes:
                    found.append(other)
    return found


def namespace(pid: int, kind: str) -> str:
    """What the link in /proc says, for example net:[4026531840]."""
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def end(run: Path, first: int | None) -> int:
    """Kill everything of the cluster in `run` and wait until it is gone; how many processes there were.

    `first` is its process 1 while alive. Without a grace time: no component has anything worth saving.
    """
    entered = inside(first) if first else []
    ended: set[int] = set()
    deadline = time.monotonic() + DEADLINE
    while alive := [*marked(run), *(pid for pid in entered if first and is_alive(pid))]:
        if time.monotonic() > deadline:
            raise ClusterError(f"still alive {DEADLINE:g} s after SIGKILL: {alive}")
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        ended.update(alive)
        entered = [pid for pid in entered if pid not in ended]
        time.sleep(0.02)
    return len(ended)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
