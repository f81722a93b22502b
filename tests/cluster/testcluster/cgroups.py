"""Control groups of a cluster: one parent of the same name in every mounted hierarchy (v1 and v2)."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from testcluster.errors import ClusterError

DEADLINE = 10.0
"""Seconds for the kernel to let go of groups whose last process has just ended."""


def hierarchies() -> list[Path]:
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [Path(line[1]) for line in lines if line[2] in ("cgroup", "cgroup2")]


def create(name: str) -> None:
    """The kubelet wants its parent group to be there, in every hierarchy."""
    for hierarchy in hierarchies():
        group = hierarchy / name
        enable_controllers(hierarchy)
        group.mkdir(exist_ok=True)
        # A new cpuset (v1) is empty and takes no process.
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (hierarchy / file).exists() and (group / file).exists():
                with suppress(OSError):
                    (group / file).write_text((hierarchy / file).read_text())


def enable_controllers(hierarchy: Path) -> None:
    """In v2 a group has only the controllers its parent passes on; systemd passes on most, others none."""
    passed_on = hierarchy / "cgroup.subtree_control"
    if passed_on.exists():
        for controller in (hierarchy / "cgroup.controllers").read_text().split():
            with suppress(OSError):  # one that cannot be shared is no reason to do without the others
                passed_on.write_text(f"+{controller}")


def leftovers(name: str) -> list[Path]:
    return [hierarchy / name for hierarchy in hierarchies() if (hierarchy / name).exists()]


def remove(name: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while groups := leftovers(name):
        for group in groups:
            children = sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True)
            for directory in [*children, group]:
                with suppress(OSError):
                    directory.rmdir()
        if time.monotonic() > deadline and (groups := leftovers(name)):
            raise ClusterError(f"control groups that the kernel will not remove: {groups}")
        time.sleep(0.02)
