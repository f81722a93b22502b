"""The lease on a real API server: one writer, handed over, never shared (DESIGN, decision 12)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from mpm_operator.kube import client as api
from mpm_operator.kube.lease import Lease, LeaseTimes
from mpm_operator.kube.resources import CONFIGMAPS, LEASES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testcluster.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

QUICK = LeaseTimes(duration=9.0, renew=6.0, retry=0.2)
"""Quick to hand over, and longer than a busy machine keeps the API server waiting."""
LONG = LeaseTimes(duration=45.0, renew=30.0, retry=0.2)


@pytest.fixture
def connection(cluster: Cluster) -> Iterator[api.Client]:
    client = api.Client(api.connect(str(cluster.kubeconfig)), lambda: 0.0)
    yield client
    client.close()


def lease(
    namespace: str,
    identity: str,
    clock: Callable[[], float] = time.monotonic,
    times: LeaseTimes = QUICK,
) -> Lease:
    return Lease(namespace, "operator", identity, times, clock)


class Stopped:
    """A clock that can be held, as a process is by SIGSTOP; it shows the real time when it goes on."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.offset


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.05)


async def test_one_of_two_holds_it_and_the_other_follows_a_release(
    connection: api.Client, namespace: str
) -> None:
    first, second = (lease(namespace, name, times=LONG) for name in ("first", "second"))
    running = asyncio.create_task(first.run(connection))
    await until(lambda: first.held)
    standby = asyncio.create_task(second.run(connection))
    for _ in range(20):
        assert first.held
        assert not second.held
        await asyncio.sleep(0.1)
    running.cancel()
    await first.release(connection)
    await until(lambda: second.held)  # which is sooner than the lease would have run out
    assert not first.held
    standby.cancel()


async def test_a_holder_that_is_gone_is_followed_after_the_duration_and_never_before_it_stops_writing(
    connection: api.Client, namespace: str
) -> None:
    first, second = lease(namespace, "first"), lease(namespace, "second")
    running = asyncio.create_task(first.run(connection))
    await until(lambda: first.held)
    standby = asyncio.create_task(second.run(connection))
    await asyncio.sleep(1)
    running.cancel()
    both = False
    deadline = time.monotonic() + 3 * QUICK.duration
    while not second.held:
        assert time.monotonic() < deadline
        both = both or (first.held and second.held)
        await asyncio.sleep(0.02)
    assert not both
    assert not first.held
    record = await connection.get(LEASES, namespace, "operator")
    assert record is not None
    assert record["spec"]["holderIdentity"] == "second"
    assert record["spec"]["leaseTransitions"] == 1
    standby.cancel()


async def test_two_that_start_at_once_never_both_hold_it(
    connection: api.Client, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    leases = [lease(namespace, f"operator-{number}") for number in range(6)]
    tasks = [asyncio.create_task(one.run(connection)) for one in leases]
    await until(lambda: any(one.held for one in leases))
    most = 0
    for _ in range(60):
        most = max(most, sum(one.held for one in leases))
        await asyncio.sleep(0.05)
    assert most == 1
    assert "already exists" not in caplog.text, "to come second is no trouble"
    for task in tasks:
        task.cancel()


async def test_nothing_is_sent_without_the_lease(
    cluster: Cluster, connection: api.Client, namespace: str
) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "fenced", "namespace": namespace},
        "data": {"a": "b"},
    }
    with pytest.raises(api.Fenced):
        await connection.apply(CONFIGMAPS, body)
    assert await connection.get(CONFIGMAPS, namespace, "fenced") is None


async def test_a_second_term_is_a_new_one(connection: api.Client, namespace: str) -> None:
    clock = Stopped()
    held = lease(namespace, "first", clock)
    task = asyncio.create_task(held.run(connection))
    await until(lambda: held.held)
    assert held.term == 1
    clock.offset += QUICK.renew + 1
    assert not held.held, "the process stood still past its lease: it may not write"
    await until(lambda: held.held)
    assert held.term == 2
    task.cancel()


@pytest.mark.parametrize("times", [(10, 10, 2), (15, 10, 10), (15, 20, 2), (15, 10, 0)])
def test_times_that_could_make_two_writers_are_refused(times: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="retry"):
        LeaseTimes(*times)
