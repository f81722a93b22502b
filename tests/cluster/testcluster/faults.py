"""Ending and starting again what runs in a cluster: its components, and processes of its containers.

Only processes of this one cluster are ever found: components carry its mark in their environment, containers
lie in its control group.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from testcluster import processes
from testcluster.components import NODE, Component
from testcluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testcluster.lifecycle import Site

ENDED_SECONDS = 60.0
READY_SECONDS = 90.0


def component(site: Site, name: str) -> int | None:
    """The host's number of the process of a component (components.py), while it runs."""
    for pid in processes.marked(site.run):
        if Path(arguments(pid)[:1][0] if arguments(pid) else "").name == name:
            return pid
    return None


def stop(site: Site, name: str, number: int = signal.SIGKILL) -> None:
    """Kill a component and wait until it is gone."""
    pid = component(site, name)
    if pid is None:
        raise ClusterError(f"cluster {site.name}: {name} does not run")
    os.kill(pid, number)
    deadline = time.monotonic() + ENDED_SECONDS
    while processes.is_alive(pid) and component(site, name) == pid:
        if time.monotonic() > deadline:
            raise ClusterError(f"{name} still runs {ENDED_SECONDS:g} s after signal {number}")
        time.sleep(0.02)


def start(site: Site, name: str) -> None:
    """Start a component again, as the node had started it."""
    every = [Component(**each) for each in json.loads((site.run / "components.json").read_text())]
    wanted = next(each for each in every if each.name == name)
    with (site.run / "log" / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [*site.enter("mount", "net", "pid"), *wanted.argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=processes.environment(site.run),
            start_new_session=True,
        )
    # It outlives this process and ends with the cluster; Popen would warn that it was forgotten.
    process.returncode = 0


def wait_ready(site: Site) -> float:
    """Wait until the API server answers for the node again; seconds that took."""
    began = time.monotonic()
    while missing := site.api.ready(NODE):
        if time.monotonic() - began > READY_SECONDS:
            raise ClusterError(f"cluster {site.name}: {missing} after {READY_SECONDS:g} s")
        time.sleep(0.2)
    return time.monotonic() - began


@contextmanager
def without(site: Site, name: str) -> Iterator[None]:
    """The cluster without one of its components; started again afterwards, and answering."""
    stop(site, name)
    try:
        yield
    finally:
        start(site, name)
        wait_ready(site)


def in_containers(site: Site, variable: str, value: str) -> list[int]:
    """The host's numbers of the containers' processes that have `variable=value` in their environment."""
    wanted, found = f"{variable}={value}".encode(), []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            with suppress(OSError):  # it ended meanwhile
                if f"/{site.cgroup}/" in (directory / "cgroup").read_text() and wanted in (
                    directory / "environ"
                ).read_bytes().split(b"\0"):
                    found.append(int(directory.name))
    return sorted(found)


def first_of(pids: list[int]) -> int:
    """The one of them that is process 1 of its container."""
    for pid in pids:
        with suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            if status.partition("\nNSpid:")[2].splitlines()[0].split()[-1] == "1":
                return pid
    raise ClusterError(f"none of the processes {pids} is the first of a container")


def arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []
