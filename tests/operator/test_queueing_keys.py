"""The queue: each key once, never in two workers, user's changes first, failures later and later."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from mpm_operator.kube.queue import BACKOFF_MOST_SECONDS, KeyedQueue
from mpm_operator.kube.resources import Key

SHOP, BLOG, WIKI = Key("demo", "shop"), Key("demo", "blog"), Key("demo", "wiki")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def taken(queue: KeyedQueue, seconds: float = 0.01) -> Key | None:
    try:
        async with asyncio.timeout(seconds):
            return await queue.get()
    except TimeoutError:
        return None


async def test_a_key_asked_for_many_times_comes_once() -> None:
    queue = KeyedQueue(Clock())
    for _ in range(100):
        queue.add(SHOP)
    assert len(queue) == 1
    assert await taken(queue) == SHOP
    queue.done(SHOP)
    assert await taken(queue) is None


async def test_a_key_in_work_waits_until_it_is_given_back() -> None:
    queue = KeyedQueue(Clock())
    queue.add(SHOP)
    assert await taken(queue) == SHOP
    queue.add(SHOP)
    assert await taken(queue) is None
    queue.done(SHOP)
    assert await taken(queue) == SHOP


async def test_a_key_in_work_does_not_hold_up_the_others() -> None:
    queue = KeyedQueue(Clock())
    queue.add(SHOP)
    assert await taken(queue) == SHOP
    queue.add(SHOP)
    queue.add(BLOG)
    assert await taken(queue) == BLOG


async def test_what_a_person_changed_goes_first() -> None:
    queue = KeyedQueue(Clock())
    queue.add(SHOP)
    queue.add(BLOG)
    queue.add(WIKI, urgent=True)
    assert [await taken(queue) for _ in range(3)] == [WIKI, SHOP, BLOG]


async def test_a_due_key_comes_at_its_time_and_an_earlier_request_wins() -> None:
    clock = Clock()
    queue = KeyedQueue(clock)
    queue.add(SHOP, due=clock.now + 50)
    queue.add(SHOP, due=clock.now + 20)
    queue.add(SHOP, due=clock.now + 90)
    assert await taken(queue) is None
    clock.now += 20
    assert await taken(queue) == SHOP
    queue.done(SHOP)
    clock.now += 200
    assert await taken(queue) is None


async def test_a_waiting_worker_is_woken_by_a_request() -> None:
    queue = KeyedQueue()
    waiter = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add(SHOP)
    async with asyncio.timeout(60):
        assert await waiter == SHOP


async def test_failures_come_back_later_and_later_and_success_forgets_them() -> None:
    clock = Clock()
    queue = KeyedQueue(clock)
    pauses = []
    queue.add(SHOP)
    for _ in range(12):
        asked = clock.now
        while await taken(queue, 0.001) is None:
            clock.now += 0.05
        pauses.append(clock.now - asked)
        queue.done(SHOP, failed=True)
    assert pauses[0] == 0
    assert max(pauses) <= BACKOFF_MOST_SECONDS + 0.1
    assert pauses[-1] >= BACKOFF_MOST_SECONDS / 2
    clock.now += BACKOFF_MOST_SECONDS
    assert await taken(queue) == SHOP
    queue.done(SHOP)
    queue.add(SHOP)
    assert await taken(queue) == SHOP
    queue.done(SHOP, failed=True)
    clock.now += 0.3
    assert await taken(queue) == SHOP, "the first pause again, not the longest"


async def test_a_gone_key_does_not_come_back() -> None:
    queue = KeyedQueue(Clock())
    queue.add(SHOP)
    queue.forget(SHOP)
    assert await taken(queue) is None


@given(st.lists(st.tuples(st.sampled_from([SHOP, BLOG, WIKI]), st.booleans(), st.integers(0, 5))))
def test_whatever_was_asked_for_comes_exactly_once(
    requests: list[tuple[Key, bool, int]],
) -> None:
    async def drain() -> list[Key]:
        clock = Clock()
        queue = KeyedQueue(clock)
        for key, urgent, delay in requests:
            queue.add(key, urgent=urgent, due=clock.now + delay)
        clock.now += 5
        return [await queue.get() for _ in range(len(queue))]

    assert sorted(asyncio.run(drain())) == sorted({key for key, _, _ in requests})


async def test_two_workers_never_hold_the_same_key() -> None:
    queue = KeyedQueue()
    held: set[Key] = set()
    served = 0

    async def work() -> None:
        nonlocal served
        while True:
            key = await queue.get()
            assert key not in held
            held.add(key)
            await asyncio.sleep(0)
            held.discard(key)
            served += 1
            queue.done(key, failed=served % 7 == 0)

    workers = [asyncio.create_task(work()) for _ in range(4)]
    for number in range(300):
        queue.add((SHOP, BLOG, WIKI)[number % 3])
        if number % 5 == 0:
            await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    for worker in workers:
        worker.cancel()
    results = await asyncio.gather(*workers, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    assert served >= 3
