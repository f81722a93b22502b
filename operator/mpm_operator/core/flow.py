"""What came to a pod between two of its lines: the difference is taken once, when a line comes in.

The estimator then only adds up. A difference is taken over a second or more: what a pod sends between its
turns tells of the moment, for it sends that just when it runs full, and the rate up to such a moment would be
too high.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from .snapshot import Report

Line = TypeVar("Line", bound="Report")

LEAST_SECONDS = 0.9
"""Lines come once a second in turn; a turn that is a little early is one too."""
LEAST_USE = 0.5
"""Slots of a pod that are busy on average from which its CPU is that of requests, not of its supervisor."""
MOST_CPU = 0.8
"""Share of its CPUs up to which a pod's waits are known apart from its waits for them."""


class Flow(Struct, frozen=True):
    """The last difference, and the counters from which the next one counts. Times are milliseconds."""

    at: float = float("-inf")
    """When the later of its two lines came, in seconds of the planner's clock."""
    uptime_ms: int = 0
    """When it was said, by the pod's own clock; 0 = it does not tell."""
    accesses: int = 0
    inside: int = 0
    """Requests in service or waiting."""
    busy_ms: int = 0
    cpu_ms: int = 0
    arrivals: float = 0.0
    """A second: completions, and what is more inside than before. 0 = there was no difference yet."""
    completions: float = 0.0
    """A second."""
    served: int = 0
    """Completions."""
    held: int = 0
    """Slot time that they took."""
    burnt: int = 0
    """CPU time that they took."""
    waited: float = 0.0
    """How long requests held a slot without a CPU, and the CPU time of the same requests: 0 unless the pod
    was in use and not short of CPU."""
    computed: int = 0
    least: int = 0
    """Fewest slots that a line showed busy, from the later one on."""
    lasting: int = 0
    """The same from the first to the later one. Slots that long requests hold are busy in every line; those
    that are so only when a line is sent, because the pod ran full, are not in the one that takes it back."""
    overflowed_at: float = float("-inf")
    """When a line last told of connections that were lost."""


def listen(line: Line, before: Report | None) -> Line:
    """Return a pod's line with its flow; `before` = the line before it, as this returned it."""
    if before is None or before.boot != line.boot:
        return replace(line, flow=_flow(line, line.busy))
    last = before.flow
    if line.uptime_ms < before.uptime_ms:  # an answer to a call, overtaken by the stream
        return replace(line, flow=last)
    if line.accesses < last.accesses:
        return replace(line, flow=_flow(line, line.busy))
    overflowed_at = line.at if line.overflows > before.overflows else last.overflowed_at
    passed = _passed(line, last)
    if passed >= LEAST_SECONDS:
        return replace(line, flow=_difference(line, last, passed, overflowed_at))
    if line.busy < last.least or overflowed_at != last.overflowed_at:
        last = replace(last, least=min(last.least, line.busy), overflowed_at=overflowed_at)
    return replace(line, flow=last)


def _flow(line: Report, lasting: int, **difference: Any) -> Flow:
    """Return the counters of a line, with a difference that ends in it, if there is one."""
    return Flow(
        at=line.at,
        uptime_ms=line.uptime_ms,
        accesses=line.accesses,
        inside=line.busy + line.queue,
        busy_ms=line.busy_ms,
        cpu_ms=line.cpu_ms,
        least=line.busy,
        lasting=lasting,
        **difference,
    )


def _difference(line: Report, last: Flow, passed: float, overflowed_at: float) -> Flow:
    served = line.accesses - last.accesses
    arrived = served + line.busy + line.queue - last.inside
    wall, cpu = line.busy_ms - last.busy_ms, line.cpu_ms - last.cpu_ms
    waited, computed = _wait(line, wall, cpu, passed)
    return _flow(
        line,
        min(last.least, line.busy),
        arrivals=max(0, arrived) / passed,
        completions=served / passed,
        served=served,
        held=max(0, wall),
        burnt=max(0, cpu),
        waited=waited,
        computed=computed,
        overflowed_at=overflowed_at,
    )


def _passed(line: Report, last: Flow) -> float:
    """Return the seconds since the last difference, by the pod's own clock: lines that wait for an operator
    that stands still all come in at once, and the time of that is no time in which requests came."""
    if line.uptime_ms and last.uptime_ms:
        return (line.uptime_ms - last.uptime_ms) / 1000
    return line.at - last.at


def _wait(line: Report, wall: int, cpu: int, passed: float) -> tuple[float, int]:
    """Return how long requests waited for something else than the CPU, and the CPU time that they took."""
    # One CPU a server at most: without a limit the quota is the node's, and an interpreter has one lock.
    allowed = passed * min(line.cpu_quota, line.servers or 1) * 1000
    if wall < LEAST_USE * 1000 * passed or not 0 <= cpu <= MOST_CPU * allowed:
        return 0.0, 0
    # Processor sharing: at a use u computing takes 1 / (1 - u) times as long as alone.
    alone = wall - cpu * allowed / (allowed - cpu) if cpu else float(wall)
    return max(0.0, alone), cpu
