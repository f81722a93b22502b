"""CPU quota and memory limit from recorded trees of both versions of control groups."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mpm_worker.cgroup import Allowance, allowance

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = float(len(os.sched_getaffinity(0)))


def tree(root: Path, files: dict[str, str], cgroup: str) -> Allowance:
    for name, text in files.items():
        path = root / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "fs").mkdir(exist_ok=True)
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(cgroup)
    return allowance(root / "fs", root / "proc")


def test_version_2_in_a_container(tmp_path: Path) -> None:
    files = {
        "cpu.max": "50000 100000\n",
        "memory.max": "268435456\n",
        "cpu.stat": "usage_usec 100\nnr_throttled 3\nthrottled_usec 2500000\n",
    }
    assert tree(tmp_path, files, "0::/\n") == Allowance(0.5, 268435456, 2500)


def test_version_2_takes_the_least_on_the_way_up(tmp_path: Path) -> None:
    files = {
        "kubepods/cpu.max": "30000 100000\n",
        "kubepods/memory.max": "max\n",
        "kubepods/pod1/cpu.max": "max 100000\n",
        "kubepods/pod1/memory.max": "2000000\n",
        "kubepods/pod1/c1/cpu.max": "200000 100000\n",
        "kubepods/pod1/c1/memory.max": "3000000\n",
    }
    assert tree(tmp_path, files, "0::/kubepods/pod1/c1\n") == Allowance(0.3, 2000000, 0)


def test_version_1(tmp_path: Path) -> None:
    files = {
        "cpu/docker/a/cpu.cfs_quota_us": "25000\n",
        "cpu/docker/a/cpu.cfs_period_us": "100000\n",
        "cpu/docker/a/cpu.stat": "nr_periods 1\nnr_throttled 1\nthrottled_time 7000000\n",
        "memory/docker/a/memory.limit_in_bytes": "134217728\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    cgroup = "4:memory:/docker/a\n3:cpu,cpuacct:/docker/a\n1:name=systemd:/docker/a\n"
    assert tree(tmp_path, files, cgroup) == Allowance(0.25, 134217728, 7)


def test_memory_in_use_is_that_of_the_group_whose_limit_holds(tmp_path: Path) -> None:
    files = {
        "memory.max": "1000000\n",
        "memory.current": "900000\n",
        "memory.stat": "anon 500000\ninactive_file 300000\nactive_file 100000\n",
        "pod/memory.max": "max\n",
        "pod/memory.current": "10000\n",
    }
    assert tree(tmp_path / "2", files, "0::/pod\n").memory_used == 600000
    files = {
        "memory/memory.limit_in_bytes": "1000000\n",
        "memory/memory.usage_in_bytes": "900000\n",
        "memory/memory.stat": "inactive_file 7\ntotal_inactive_file 200000\n",
    }
    assert tree(tmp_path / "1", files, "4:memory:/\n").memory_used == 700000


def test_version_1_seen_from_inside_a_container(tmp_path: Path) -> None:
    files = {
        "cpu/cpu.cfs_quota_us": "-1\n",
        "cpu/cpu.cfs_period_us": "100000\n",
        "memory/memory.limit_in_bytes": "1048576\n",
    }
    cgroup = "4:memory:/docker/a\n3:cpu,cpuacct:/docker/a\n"
    assert tree(tmp_path, files, cgroup) == Allowance(MACHINE, 1048576, 0)


def test_no_limit_is_the_machine(tmp_path: Path) -> None:
    assert tree(tmp_path, {"cpu.max": "max 100000\n", "memory.max": "max\n"}, "0::/\n") == Allowance(
        MACHINE, 0, 0
    )


def test_nothing_mounted(tmp_path: Path) -> None:
    assert tree(tmp_path, {}, "") == Allowance(MACHINE, 0, 0)
