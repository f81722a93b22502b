"""The pods of one WebServer on this machine: what a Deployment and its ReplicaSet are in a cluster."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

from msgspec.structs import replace

from mpm_operator.core.flow import listen
from mpm_operator.core.snapshot import PodPhase

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_operator.core.snapshot import Pod, Report

    from .pod import LocalPod

_KILL_AFTER_GRACE_SECONDS = 5.0
"""A pod that still runs so long after its GracefulShutdownTimeout is killed, as kubelet would."""


class Pods:
    """Keeps `replicas` pods; who goes first follows the order of the ReplicaSet."""

    def __init__(self, name: str, make: Callable[[str], LocalPod]) -> None:
        self.replicas: int | None = None
        """None until the first `scale`: nothing was asked for yet."""
        self._name = name
        self._make = make
        self.grace_seconds = 0.0
        """GracefulShutdownTimeout of a pod that is told to end from now on."""
        self._numbers = count(1)
        self._pods: dict[str, LocalPod] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._heard: dict[str, Report] = {}
        """The last line of each pod, its share of the accept queue and its flow included."""

    def __getitem__(self, name: str) -> LocalPod:
        return self._pods[name]

    def __contains__(self, name: str) -> bool:
        return name in self._pods

    def all(self) -> list[LocalPod]:
        """Every pod that has not ended, oldest first."""
        return list(self._pods.values())

    def observe(self, depth: int) -> tuple[Pod, ...]:
        """The pods as the planner sees them; the `depth` of the accept queue is shared by the ready."""
        seen = share_out([pod.observe() for pod in self._pods.values()], depth)
        self._heard = {
            pod.name: listen(pod.report, self._heard.get(pod.name)) for pod in seen if pod.report is not None
        }
        return tuple(replace(pod, report=self._heard.get(pod.name)) for pod in seen)

    def scale(self, replicas: int) -> None:
        """Ask for `replicas` pods: the missing are started, the superfluous told to end."""
        self.replicas = replicas
        staying = [name for name in self._pods if name not in self._ending]
        for _ in range(replicas - len(staying)):
            name = f"{self._name}-{next(self._numbers)}"
            self._pods[name] = self._make(name)
        for name in sorted(staying, key=self._rank)[: max(0, len(staying) - replicas)]:
            self._ending[name] = asyncio.create_task(self._end(name))

    async def end(self, fast: asyncio.Event) -> None:
        """End all of them: drained, or at once when `fast` is set."""
        self.scale(0)
        hurry = asyncio.create_task(self._hurry(fast))
        await asyncio.gather(*self._ending.values())
        hurry.cancel()

    def kill(self) -> None:
        """Leave no process behind, whatever state they are in."""
        for pod in self._pods.values():
            pod.kill()

    def _rank(self, name: str) -> tuple[bool, int, float]:
        """Not ready before ready, then the lower deletion cost, then the younger (client-go's ActivePods)."""
        pod = self._pods[name].observe()
        return pod.phase is PodPhase.READY, pod.deletion_cost, -pod.created_at

    async def _end(self, name: str) -> None:
        pod = self._pods[name]
        pod.terminate()
        try:
            async with asyncio.timeout(self.grace_seconds + _KILL_AFTER_GRACE_SECONDS):
                await pod.wait()
        except TimeoutError:
            pod.kill()
            await pod.wait()
        del self._pods[name], self._ending[name]

    async def _hurry(self, fast: asyncio.Event) -> None:
        await fast.wait()
        for pod in self.all():
            pod.stop_fast()
        await asyncio.sleep(1.0)
        self.kill()


def share_out(pods: list[Pod], depth: int) -> tuple[Pod, ...]:
    """Add `depth` to the queues of the ready pods, as evenly as whole numbers go; the sum is counted once."""
    takers = [
        index for index, pod in enumerate(pods) if pod.phase is PodPhase.READY and pod.report is not None
    ]
    for place, index in enumerate(takers):
        said = pods[index].report
        assert said is not None
        share = depth // len(takers) + (place < depth % len(takers))
        pods[index] = replace(pods[index], report=replace(said, queue=said.queue + share))
    return tuple(pods)
