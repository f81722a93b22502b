"""CPU time and resident memory of processes, from /proc (proc_pid_stat(5), proc_pid_statm(5))."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Cpu(NamedTuple):
    """Seconds; "children" are those that have been waited for, as in times(2)."""

    user: float = 0.0
    system: float = 0.0
    children_user: float = 0.0
    children_system: float = 0.0

    @property
    def total(self) -> float:
        return sum(self)


def rss(pid: int) -> int:
    """Resident bytes of a process; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return 0


def pss(pid: int) -> int:
    """Bytes of a process, what it shares divided by its sharers (smaps_rollup, Linux 4.14); 0: not told."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def cpu(pids: Iterable[int]) -> Cpu:
    """This process, the given ones that still run, and all that ended and were reaped."""
    own = os.times()
    user, system = own.user, own.system
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        user += (int(fields[11]) + int(fields[13])) / _TICKS
        system += (int(fields[12]) + int(fields[14])) / _TICKS
    return Cpu(user, system, own.children_user, own.children_system)
