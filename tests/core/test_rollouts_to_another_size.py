"""processesPerPod changes by a rollout: enough serves meanwhile, within MaxRequestWorkers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mpm_operator.core.snapshot import PodPhase, PodState
from mpm_operator.manifests.deployment import rolling_update

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_operator.core.effective import Effective
    from mpm_operator.core.snapshot import Snapshot

THREADS = {"threadsPerChild": 25, "maxRequestWorkers": 400}


class Deployment:
    """What its controller does to the pods of a world while pods of an older template live."""

    def __init__(self, world: Any, after: Effective) -> None:
        self.world = world
        self.old = set(world.pods)
        self._snapshot, self._scale = world.snapshot, world._replica_set
        world.effective, world.snapshot, world._replica_set = after, self.snapshot, self.scale
        self.update = rolling_update(after)

    def living(self, *, old: bool) -> list[Any]:
        return [pod for pod in self.world.living if (pod in self.old) is old]

    def snapshot(self) -> Snapshot:
        old = {pod.name for pod in self.old}
        seen: Snapshot = self._snapshot()
        return replace(
            seen,
            pods=tuple(replace(pod, current=pod.name not in old) for pod in seen.pods),
            rolling=bool(self.living(old=True)),
            surge=self.update["maxSurge"],
        )

    def scale(self, replicas: int) -> None:
        """New pods within the surge; of the old ones, those that are not needed as ready pods any more."""
        living, old = self.world.living, self.living(old=True)
        if not old:
            self._scale(replicas)
            return
        coming = min(replicas - len(living) + len(old), replicas + self.update["maxSurge"] - len(living))
        self._scale(len(living) + max(0, coming))
        ready = sum(pod.phase is PodPhase.READY for pod in self.world.living)
        for pod in old[: max(0, ready - replicas + self.update["maxUnavailable"])]:
            pod.phase, pod.in_endpoints, pod.ends_at = PodPhase.TERMINATING, False, self.world.now + 2.0
            pod.state = PodState.STOPPING


@settings(max_examples=40, deadline=None)
@given(
    before=st.integers(1, 8),
    after=st.integers(1, 8),
    share=st.floats(0, 1.2),
    startup=st.sampled_from([0.0, 3.0]),
)
def test_max_request_workers_holds_at_every_moment(
    world: Callable[..., Any],
    effective: Callable[..., Effective],
    before: int,
    after: int,
    share: float,
    startup: float,
) -> None:
    w = world(THREADS | {"processesPerPod": before}, startup=startup)
    w.load = share * 400
    w.run(60)
    deployment = Deployment(w, effective(THREADS | {"processesPerPod": after}))
    for _ in range(200):
        w.step()
        assert w.most_slots <= 400
        if not deployment.living(old=True):
            break
    w.run(5)
    assert w.most_slots <= 400
    assert {pod.servers for pod in w.pods} == {after}


@pytest.mark.parametrize(
    ("before", "after", "load", "least"), [(1, 8, 150, 150), (8, 1, 150, 120), (8, 1, 60, 50)]
)
def test_old_pods_serve_until_new_ones_do(
    world: Callable[..., Any],
    effective: Callable[..., Effective],
    before: int,
    after: int,
    load: int,
    least: int,
) -> None:
    w = world(THREADS | {"processesPerPod": before}, startup=5.0)
    w.load = load
    w.run(300)
    deployment = Deployment(w, effective(THREADS | {"processesPerPod": after}))
    slots = []
    while deployment.living(old=True):
        w.step()
        slots.append(sum(pod.limit for pod in w.accepting))
        assert len(slots) < 120
    assert min(slots) >= least
    w.run(120)
    assert sum(pod.queue for pod in w.pods) == 0
