"""What the control group allows: CPU quota, throttling and memory limit, of version 1 and 2.

A container sees its own group at the root of /sys/fs/cgroup; outside of one /proc/self/cgroup names the
path, and the least limit on the way up holds (Documentation/admin-guide/cgroup-v2.rst).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_NO_LIMIT = 1 << 60  # version 1 writes "none" as a number near 2**63


@dataclass(frozen=True, slots=True)
class Allowance:
    """CPUs (a fraction is possible), bytes of memory (0: no limit), ms throttled since the group was made."""

    cpus: float
    memory: int
    throttled_ms: int
    memory_used: int = 0
    """Bytes of the limit in use, less what the kernel can drop at once (kubelet's "working set")."""


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _words(path: Path) -> list[str]:
    return _read(path).split()


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _chain(root: Path, path: str) -> list[Path]:
    """The group and its ancestors, the group first; a path that does not exist here is the root itself."""
    group = root / path.lstrip("/")
    if not group.is_dir():
        return [root]
    return [group, *(parent for parent in group.parents if parent == root or root in parent.parents)]


def _groups(proc: Path) -> dict[str, str]:
    """Controller → path; the key "" is version 2."""
    found: dict[str, str] = {}
    for line in _read(proc / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found


def allowance(root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc")) -> Allowance:
    """Read the limits that hold for this process now.

    :param root: where the hierarchy (or the hierarchies of version 1) is mounted
    """
    groups = _groups(proc)
    cpus = float(len(os.sched_getaffinity(0)))
    memory, used = _NO_LIMIT, 0
    throttled = 0
    for index, group in enumerate(_chain(root, groups.get("", "/"))):
        quota = _words(group / "cpu.max")
        if len(quota) == 2 and quota[0] != "max":
            cpus = min(cpus, int(quota[0]) / int(quota[1]))
        limit = _number(group / "memory.max")
        if limit and limit < memory:
            memory, used = limit, _used(group, "memory.current", "inactive_file")
        if index == 0:
            throttled = _throttled(group) // 1000
    for index, group in enumerate(_chain(root / "cpu", groups.get("cpu", "/"))):
        limit, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
        if limit and period and limit > 0:
            cpus = min(cpus, limit / period)
        if index == 0:
            throttled = max(throttled, _throttled(group) // 1_000_000)
    for group in _chain(root / "memory", groups.get("memory", "/")):
        limit = _number(group / "memory.limit_in_bytes")
        if limit and limit < memory:
            memory, used = limit, _used(group, "memory.usage_in_bytes", "total_inactive_file")
    return Allowance(cpus, 0 if memory >= _NO_LIMIT else memory, throttled, used)


def _used(group: Path, name: str, inactive: str) -> int:
    words = _words(group / "memory.stat")
    stats = dict(zip(words[::2], words[1::2], strict=False))
    return max(0, (_number(group / name) or 0) - int(stats.get(inactive, "0")))


def _throttled(group: Path) -> int:
    """Microseconds in version 2 (throttled_usec), nanoseconds in version 1 (throttled_time)."""
    words = _words(group / "cpu.stat")
    stats = dict(zip(words[::2], words[1::2], strict=False))
    return int(stats.get("throttled_usec", stats.get("throttled_time", "0")))
