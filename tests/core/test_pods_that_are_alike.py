"""Pods that are alike are dealt with together; nobody gets something else for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mpm_operator.core.ceilings import Deal, deal
from mpm_operator.core.grants import Grant
from mpm_operator.core.memory import fresh
from mpm_operator.core.snapshot import Pod, PodPhase, PodState, Report, Snapshot
from mpm_operator.core.survey import survey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mpm_operator.core.directives import Effective

NOW = 100.0
REPORT = Report(
    at=NOW, boot="a", state=PodState.SERVING, servers=1, threads_per_child=25, threads_ceiling=25, busy=0,
    idle=25, total=25, queue=0, backlog_limit=511, overflows=0, connections=0, keep_alive=0, accesses=0,
    busy_ms=0, cpu_ms=0, cpu_quota=1.0, throttled_ms=0, rss=0, memory_limit=0,
)  # fmt: skip
SAID: dict[str, st.SearchStrategy[Any]] = {
    "threads_ceiling": st.sampled_from([25, 40, 3]),
    "servers": st.sampled_from([1, 2]),
    "busy": st.integers(0, 3),
    "total": st.sampled_from([25, 60]),
    "thread_limit": st.sampled_from([0, 64, 30]),
    "at": st.sampled_from([NOW, NOW - 4]),
    "state": st.sampled_from([PodState.SERVING, PodState.STARTING]),
    "settings": st.sampled_from([{}, {"keepAlive": False}, {"processes": 2}]),
    "current": st.booleans(),
}
PODS = st.lists(
    # Neighbours that differ in one thing only, and some that have little in common.
    st.one_of([st.fixed_dictionaries({name: said}) for name, said in SAID.items()])
    | st.fixed_dictionaries(SAID),
    max_size=8,
)
SENT = st.dictionaries(st.integers(0, 7), st.sampled_from([25, 60]), max_size=3)


def dealt(effective: Effective, pods: Sequence[Pod], grants: dict[str, Grant]) -> Deal:
    snapshot = Snapshot(effective=effective, pods=tuple(pods), replicas=len(pods), memory=fresh(0.0))
    return deal(effective, survey(snapshot, (), NOW), grants, 1, 0, NOW)


@settings(max_examples=300, deadline=None)
@given(lines=PODS, sent=SENT, limit=st.sampled_from([50, 100, 400]))
def test_who_is_alike_changes_nobodys_share(
    lines: list[dict[str, Any]], sent: dict[int, int], limit: int, effective: Callable[..., Effective]
) -> None:
    directives = effective({"threadsPerChild": 25, "maxRequestWorkers": limit})
    shared: dict[str, Any] = {}
    alike, apart = [], []
    for number, drawn in enumerate(lines):
        line = dict(drawn)
        current = line.pop("current", True)
        said = directives.settings | line.get("settings", {})
        report = replace(REPORT, **line | {"settings": shared.setdefault(repr(said), said)})
        pod = Pod(f"shop-{number}", PodPhase.READY, 0.0, report=report, current=current)
        alike.append(pod)
        # The same in an object of its own, and the pods in another order.
        apart.insert(0, replace(pod, report=replace(report, settings=dict(said))))
    grants = {
        f"shop-{n}": Grant("a", 0, ceiling, NOW - 2, {"threadsCeiling": ceiling})
        for n, ceiling in sent.items()
    }
    # What was sent to a life that is over counts for nothing, but each pod is looked at alone by it.
    over = {pod.name: Grant("gone", 0, 99, NOW - 2, {"threadsCeiling": 99}) for pod in alike}
    together = dealt(directives, alike, dict(grants))
    assert together == dealt(directives, apart, dict(grants))
    assert together == dealt(directives, alike, over | grants)
