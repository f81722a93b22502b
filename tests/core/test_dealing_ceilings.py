"""Who may have how many threads: the sum stays within MaxRequestWorkers, settings are mended pod by pod."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mpm_operator.core.grants import refuse
from mpm_operator.core.memory import fresh
from mpm_operator.core.planner import plan
from mpm_operator.core.snapshot import Pod, PodPhase, PodState, Report, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LINE = Report(
    at=100.0, boot="a", state=PodState.SERVING, servers=1, threads_per_child=25, threads_ceiling=25, busy=5,
    idle=20, total=25, queue=0, backlog_limit=511, overflows=0, connections=5, keep_alive=0, accesses=50,
    busy_ms=0, cpu_ms=0, cpu_quota=1.0, throttled_ms=0, rss=0, memory_limit=0,
    settings={"threadsPerChild": 25, "processes": 1, "timeoutSeconds": 60, "keepAlive": True},
)  # fmt: skip


def ready(name: str, **line: Any) -> Pod:
    return Pod(name, PodPhase.READY, 0.0, report=replace(LINE, **line), in_endpoints=True)


def controls_of(snapshot: Snapshot, now: float = 100.0) -> tuple[dict[str, Any], dict[str, Any]]:
    decided = plan(snapshot, now)
    lower: Mapping[str, Any] = {control.pod: dict(control.changes) for control in decided.lower}
    raised: Mapping[str, Any] = {control.pod: dict(control.changes) for control in decided.controls}
    return dict(lower), dict(raised)


def test_what_is_left_is_dealt_out_as_burst_up_to_thread_limit(effective: Callable[..., Any]) -> None:
    directives = effective({"maxRequestWorkers": 100, "threadsPerChild": 25})
    pods = (ready("shop-1"), ready("shop-2"))
    assert controls_of(Snapshot(directives, pods, 2, fresh(0.0))) == (
        {},
        {"shop-1": {"threadsCeiling": 50}, "shop-2": {"threadsCeiling": 50}},
    )
    one = (ready("shop-1"),)
    assert controls_of(Snapshot(directives, one, 1, fresh(0.0))) == ({}, {"shop-1": {"threadsCeiling": 64}})


def test_where_the_rest_does_not_reach_for_all_the_busiest_get_it(effective: Callable[..., Any]) -> None:
    directives = effective({"maxRequestWorkers": 75, "threadsPerChild": 25, "threadLimit": 40})
    pods = (ready("shop-1", threads_ceiling=37), ready("shop-2", busy=25, idle=0))
    lower, raised = controls_of(Snapshot(directives, pods, 2, fresh(0.0)))
    assert (lower, raised) == ({}, {"shop-2": {"threadsCeiling": 37}})


def test_ceilings_are_lowered_and_seen_before_a_pod_is_made(world: Callable[..., Any]) -> None:
    w = world({"maxRequestWorkers": 100, "threadsPerChild": 25, "startServers": 2}, startup=1.0)
    w.run(10)
    assert [pod.ceiling for pod in w.pods] == [50, 50]
    w.load = 90
    decided = w.step(0.1)
    assert decided.lower
    assert decided.desired > decided.replicas == 2
    decided = w.step(0.1)
    assert decided.replicas > 2
    w.run(10)
    assert w.most_slots <= 100
    assert w.replicas == 4


def test_a_lost_raise_counts_until_a_cut_is_seen(effective: Callable[..., Any]) -> None:
    """The first call may still arrive: nobody else gets its room before the pod proves another value."""
    directives = effective({"maxRequestWorkers": 100, "threadsPerChild": 25, "threadLimit": 100})
    alone = Snapshot(directives, (ready("shop-1"),), 1, fresh(0.0))
    first = plan(alone, 100.0)
    assert first.controls[0].changes == {"threadsCeiling": 100}
    assert first.memory is not None
    pods = (ready("shop-1", at=101.0), ready("shop-2", at=101.0))
    lower, raised = controls_of(replace(alone, pods=pods, replicas=2, memory=first.memory), 101.0)
    assert lower == {"shop-1": {"threadsCeiling": 50}}
    assert raised == {}


def test_a_starting_pod_claims_what_it_boots_with(effective: Callable[..., Any]) -> None:
    directives = effective({"maxRequestWorkers": 100, "threadsPerChild": 25})
    pods = (ready("shop-1"), Pod("shop-2", PodPhase.STARTING, 99.0))
    assert controls_of(Snapshot(directives, pods, 2, fresh(0.0)))[1] == {"shop-1": {"threadsCeiling": 64}}
    pods = (ready("shop-1"), Pod("shop-2", PodPhase.STARTING, 99.0), Pod("shop-3", PodPhase.STARTING, 99.0))
    assert controls_of(Snapshot(directives, pods, 3, fresh(0.0)))[1] == {"shop-1": {"threadsCeiling": 50}}


def test_a_rollout_gets_room_for_its_surge(effective: Callable[..., Any]) -> None:
    directives = effective({"maxRequestWorkers": 50, "threadsPerChild": 25})
    snapshot = Snapshot(directives, (ready("shop-1"), ready("shop-2")), 2, fresh(0.0), rolling=True, surge=1)
    lower, raised = controls_of(snapshot)
    assert lower == {name: {"threadsCeiling": 12, "threadsPerChild": 12} for name in ("shop-1", "shop-2")}
    assert raised == {}


OLD_PREFORK = {
    "servers": 8,
    "threads_per_child": 1,
    "threads_ceiling": 1,
    "thread_limit": 1,
    "total": 8,
    "busy": 3,
    "settings": {"threadsPerChild": 1, "processes": 8, "timeoutSeconds": 60, "keepAlive": True},
}


def test_pods_of_the_old_template_keep_their_threads_until_they_go(effective: Callable[..., Any]) -> None:
    """From Prefork to Event and back: what the new template asks for is nothing to pods of the old one."""
    old = replace(ready("shop-1", **OLD_PREFORK), current=False)
    event = effective({"maxRequestWorkers": 100, "threadsPerChild": 25})
    assert controls_of(Snapshot(event, (old,), 1, fresh(0.0), rolling=True, surge=1)) == ({}, {})
    old = replace(ready("shop-1", threads_ceiling=64, thread_limit=64), current=False)
    prefork = effective({"type": "Prefork", "maxRequestWorkers": 256})
    assert controls_of(Snapshot(prefork, (old,), 1, fresh(0.0), rolling=True, surge=1)) == ({}, {})


def test_pods_of_the_old_template_get_the_settings_of_http_alone(effective: Callable[..., Any]) -> None:
    settings = LINE.settings | {"timeoutSeconds": 9, "maxConnectionsPerChild": 7, "processes": 3}
    old = replace(ready("shop-1", servers=3, settings=settings), current=False)
    directives = effective({"maxRequestWorkers": 1000, "threadsPerChild": 50})
    decided = controls_of(Snapshot(directives, (old,), 1, fresh(0.0), rolling=True))
    assert decided == ({}, {"shop-1": {"timeoutSeconds": 60}})


def test_old_pods_make_room_for_the_new_ones_and_get_none(effective: Callable[..., Any]) -> None:
    """Four claim 200 slots of 100, and one to come takes 25 of them: 18 are left for each."""
    directives = effective({"maxRequestWorkers": 100, "threadsPerChild": 25})
    old = tuple(replace(ready(f"shop-{n}", threads_ceiling=50), current=False) for n in range(4))
    snapshot = Snapshot(directives, old, 4, fresh(0.0), rolling=True, surge=1)
    lower, raised = controls_of(snapshot)
    assert lower == {f"shop-{n}": {"threadsCeiling": 18, "threadsPerChild": 18} for n in range(4)}
    assert raised == {}
    cut = tuple(
        replace(
            pod,
            report=replace(
                LINE, at=101.0, threads_ceiling=18, settings=LINE.settings | {"threadsPerChild": 18}
            ),
        )
        for pod in old[:2]
    )
    # Two are gone and nothing is short any more: the old ones stay as they are.
    assert controls_of(Snapshot(directives, cut, 2, fresh(0.0), rolling=True), 101.0) == ({}, {})


def test_what_old_pods_cannot_have_is_dealt_to_the_new(effective: Callable[..., Any]) -> None:
    directives = effective({"maxRequestWorkers": 100, "threadsPerChild": 25, "threadLimit": 100})
    old = replace(ready("shop-1", threads_ceiling=30), current=False)
    new = ready("shop-2", thread_limit=100)
    snapshot = Snapshot(directives, (old, new), 2, fresh(0.0), rolling=True)
    assert controls_of(snapshot) == ({}, {"shop-2": {"threadsCeiling": 70}})


def test_no_pod_is_asked_for_more_than_its_own_thread_limit(effective: Callable[..., Any]) -> None:
    directives = effective({"maxRequestWorkers": 400, "threadsPerChild": 80, "threadLimit": 128})
    pods = (ready("shop-1", thread_limit=64), ready("shop-2", thread_limit=128))
    lower, raised = controls_of(Snapshot(directives, pods, 2, fresh(0.0)))
    assert lower == {}
    assert raised == {
        "shop-1": {"threadsCeiling": 64, "threadsPerChild": 64},
        "shop-2": {"threadsCeiling": 128, "threadsPerChild": 80},
    }


def test_a_refused_raise_gives_its_room_back_and_is_not_repeated_each_second(
    effective: Callable[..., Any],
) -> None:
    directives = effective({"maxRequestWorkers": 100, "threadsPerChild": 25, "threadLimit": 100})
    alone = Snapshot(directives, (ready("shop-1"),), 1, fresh(0.0))
    first = plan(alone, 100.0)
    assert first.controls[0].changes == {"threadsCeiling": 100}
    assert first.memory is not None
    memory = replace(first.memory, grants=refuse(first.memory.grants, {"shop-1"}))
    pods = (ready("shop-1", at=105.0), ready("shop-2", at=105.0))
    lower, raised = controls_of(replace(alone, pods=pods, replicas=2, memory=memory), 105.0)
    assert lower == {}, "a raise that was refused claims nothing"
    assert raised == {name: {"threadsCeiling": 50} for name in ("shop-1", "shop-2")}
    later = (ready("shop-1", at=105.0),)
    assert controls_of(replace(alone, pods=later, memory=memory), 105.0) == ({}, {})
    later = (ready("shop-1", at=131.0),)
    assert controls_of(replace(alone, pods=later, memory=memory), 131.0)[1] != {}


def test_threads_per_child_is_changed_live_within_the_ceiling(effective: Callable[..., Any]) -> None:
    directives = effective({"maxRequestWorkers": 160, "threadsPerChild": 40})
    snapshot = Snapshot(directives, (ready("shop-1"),), 1, fresh(0.0))
    assert controls_of(snapshot)[1] == {"shop-1": {"threadsCeiling": 64, "threadsPerChild": 40}}
    directives = effective({"maxRequestWorkers": 160, "threadsPerChild": 10, "threadLimit": 25})
    lower, raised = controls_of(replace(snapshot, effective=directives))
    assert (lower, raised) == ({"shop-1": {"threadsPerChild": 10}}, {})


def test_a_server_less_waits_for_nothing_and_counts_until_it_has_gone(effective: Callable[..., Any]) -> None:
    directives = effective({"processesPerPod": 1, "maxRequestWorkers": 75, "threadsPerChild": 25})
    two = LINE.settings | {"processes": 2}
    pods = (ready("shop-1", servers=2, total=50, settings=two), ready("shop-2"))
    lower, raised = controls_of(Snapshot(directives, pods, 2, fresh(0.0)))
    assert (lower, raised) == ({"shop-1": {"processes": 1}}, {}), "no burst for anybody meanwhile"
    pods = (ready("shop-1", servers=2, total=25), ready("shop-2"))
    assert controls_of(Snapshot(directives, pods, 2, fresh(0.0))) == ({}, {}), "the other still finishes"
    pods = (ready("shop-1"), ready("shop-2"))
    raised = {name: {"threadsCeiling": 37} for name in ("shop-1", "shop-2")}
    assert controls_of(Snapshot(directives, pods, 2, fresh(0.0))) == ({}, raised)


def test_servers_that_a_pod_was_told_to_have_are_counted_before_they_are_seen(
    effective: Callable[..., Any],
) -> None:
    """Two are asked for, then one again: the call may still arrive, or its fork be on the way."""
    directives = effective({"processesPerPod": 2, "maxRequestWorkers": 75, "threadsPerChild": 25})
    snapshot = Snapshot(directives, (ready("shop-1"),), 1, fresh(0.0))
    first = plan(snapshot, 100.0)
    assert [dict(control.changes) for control in first.controls] == [{"processes": 2}]
    assert first.memory is not None
    directives = effective({"processesPerPod": 1, "maxRequestWorkers": 75, "threadsPerChild": 25})
    told = replace(snapshot, effective=directives, memory=first.memory)
    assert controls_of(told, 101.0) == ({"shop-1": {"processes": 1}}, {}), "and no burst on its slots"
    coming = LINE.settings | {"processes": 2}
    shown = replace(told, pods=(ready("shop-1", at=101.0, sequence=1, settings=coming),), memory=fresh(0.0))
    lower, raised = controls_of(shown, 101.0)
    assert (lower, raised) == ({"shop-1": {"processes": 1}}, {})


def test_a_lost_call_that_nobody_wants_any_more_is_taken_back_and_claims_nothing(
    effective: Callable[..., Any],
) -> None:
    """The pod never shows what was sent, so only another call can end the doubt."""
    for wish in ({"processesPerPod": 2}, {"threadsPerChild": 10}, {"threadsPerChild": 30}):
        plain = {"maxRequestWorkers": 150, "threadsPerChild": 25, "threadLimit": 60}
        pod = ready("shop-1", threads_ceiling=60)
        sent = plan(Snapshot(effective(plain | wish), (pod,), 1, fresh(0.0)), 100.0)
        assert sent.memory is not None
        assert sent.memory.grants
        (name,) = set(LINE.settings) & {key for one in sent.lower + sent.controls for key in one.changes}
        before = Snapshot(effective(plain), (pod,), 1, sent.memory)
        decided = plan(before, 101.0)
        asked = {key: value for one in decided.lower + decided.controls for key, value in one.changes.items()}
        assert asked[name] == LINE.settings[name]
        for second in range(102, 112):
            assert decided.memory is not None
            heard = replace(pod, report=replace(pod.report, at=float(second), sequence=1))
            decided = plan(replace(before, pods=(heard,), memory=decided.memory), float(second))
        assert decided.memory is not None
        assert not decided.memory.grants
        (said,) = (one for one in decided.conditions if one.type == "Progressing")
        assert said.reason == "Settled"


def test_settings_that_differ_are_mended_and_others_left_alone(effective: Callable[..., Any]) -> None:
    directives = effective({"maxRequestWorkers": 25, "threadsPerChild": 25})
    settings = {**LINE.settings, "timeoutSeconds": 300, "keepAlive": False, "somethingNew": 7}
    pods = (ready("shop-1", settings=settings),)
    expected = {"shop-1": {"timeoutSeconds": 60, "keepAlive": True}}
    assert controls_of(Snapshot(directives, pods, 1, fresh(0.0))) == ({}, expected)


def test_a_control_is_not_repeated_before_it_can_be_seen(effective: Callable[..., Any]) -> None:
    directives = effective({"maxRequestWorkers": 100, "threadsPerChild": 25})
    snapshot = Snapshot(directives, (ready("shop-1"),), 1, fresh(0.0))
    first = plan(snapshot, 100.0)
    assert first.memory is not None
    again = replace(snapshot, memory=first.memory)
    assert controls_of(again, 100.5) == ({}, {})
    assert controls_of(again, 101.0) == ({}, {"shop-1": {"threadsCeiling": 64}})
    seen = (ready("shop-1", threads_ceiling=64, sequence=1),)
    assert controls_of(replace(again, pods=seen), 101.0) == ({}, {})


def test_a_silent_pod_keeps_its_claim_and_is_sent_nothing(effective: Callable[..., Any]) -> None:
    directives = effective({"maxRequestWorkers": 100, "threadsPerChild": 25})
    pods = (ready("shop-1", at=90.0, threads_ceiling=64), ready("shop-2"))
    assert controls_of(Snapshot(directives, pods, 2, fresh(0.0))) == ({}, {"shop-2": {"threadsCeiling": 36}})


def test_new_pods_get_their_share_of_the_kept_connections_once(effective: Callable[..., Any]) -> None:
    directives = effective({"threadsPerChild": 25, "threadLimit": 25})
    old = (ready("shop-1", keep_alive=40), ready("shop-2", keep_alive=0))
    snapshot = Snapshot(directives, old, 2, fresh(0.0))
    first = plan(snapshot, 100.0)
    assert first.rebalance == ()
    asked = []
    memory = first.memory
    assert memory is not None
    for tenth in range(1, 30):
        now = 100.0 + tenth / 10
        pods = tuple(replace(p, report=replace(p.report or LINE, at=now)) for p in (*old, ready("shop-3")))
        decided = plan(replace(snapshot, pods=pods, replicas=3, memory=memory), now)
        asked += [(call.pod, round(call.share, 2)) for call in decided.rebalance]
        assert decided.memory is not None
        memory = decided.memory
    assert asked == [("shop-1", 0.33)]


SEATS = st.lists(
    st.tuples(
        st.booleans(),
        st.integers(1, 8),
        st.integers(1, 64),
        st.integers(0, 64),
        st.sampled_from(["ready", "starting", "silent", "terminating"]),
    ),
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(seats=SEATS, limit=st.integers(1, 400), threads=st.integers(1, 30), surge=st.integers(0, 2))
def test_old_and_new_pods_together_never_get_more_than_max_request_workers(
    effective: Callable[..., Any],
    seats: list[tuple[bool, int, int, int, str]],
    limit: int,
    threads: int,
    surge: int,
) -> None:
    """Of any mixture: what is raised fits, old pods get nothing, and no pod more than its own ThreadLimit."""
    directives = effective({"maxRequestWorkers": limit, "threadsPerChild": threads, "threadLimit": 64})
    pods = tuple(
        Pod(
            f"shop-{number}",
            PodPhase.TERMINATING if kind == "terminating" else PodPhase.READY,
            0.0,
            report=replace(
                LINE,
                at=90.0 if kind == "silent" else 100.0,
                state=PodState.STARTING if kind == "starting" else PodState.SERVING,
                servers=servers,
                threads_ceiling=ceiling,
                thread_limit=own and max(own, ceiling),
                total=servers * min(ceiling, 25),
                settings=LINE.settings | {"threadsPerChild": min(ceiling, 25), "processes": servers},
            ),
            current=current,
        )
        for number, (current, servers, ceiling, own, kind) in enumerate(seats)
    )
    living = sum(pod.phase is PodPhase.READY for pod in pods)
    snapshot = Snapshot(directives, pods, living, fresh(0.0), rolling=surge > 0, surge=surge)
    lower, raised = controls_of(snapshot)
    before = after = surge * directives.slots_per_pod
    for pod in pods:
        report = pod.report
        assert report is not None
        servers = max(report.servers, 1) if pod.current else report.servers
        ceiling = raised.get(pod.name, {}).get("threadsCeiling", report.threads_ceiling)
        most = report.thread_limit or 64
        assert ceiling <= max(report.threads_ceiling, most)
        assert pod.current or ceiling == report.threads_ceiling
        assert pod.current or not {"processes", "maxConnectionsPerChild"} & raised.get(pod.name, {}).keys()
        before += max(report.threads_ceiling * servers, report.total)
        after += max(ceiling * servers, report.total)
    assert after <= max(before, directives.max_request_workers)
    for changes in lower.values():
        assert changes.get("threadsPerChild", 1) <= changes.get("threadsCeiling", 64)
