"""However many scrape, pages take a twentieth of the supervisor's time, and probes do not wait for them."""

from __future__ import annotations

import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from mpm_worker.budget import Budget


@given(costs=st.lists(st.floats(0.0001, 1.0), min_size=1, max_size=50), share=st.floats(0.01, 0.5))
def test_no_more_than_the_share_is_spent(costs: list[float], share: float) -> None:
    budget, now, spent = Budget(share, burst=0.1, now=0.0), 0.0, 0.0
    for cost in costs:
        now += budget.wait(now) + 1e-9
        assert spent <= 0.1 + now * share + 1e-6
        spent += cost
        now += cost
        budget.spend(cost, now)


def test_scrapers_wait_and_probes_do_not(start) -> None:
    worker = start("--mpm", "worker", "--threads", "64", "--processes", "4")
    stop = threading.Event()
    served: list[int] = []

    def scrape() -> None:
        while not stop.is_set():
            status, _, body = worker.admin("/server-status")
            assert status == 200
            assert body.endswith(b"</html>\n")
            served.append(status)

    scrapers = [threading.Thread(target=scrape) for _ in range(20)]
    for thread in scrapers:
        thread.start()
    time.sleep(1)
    for _ in range(20):
        assert worker.admin("/healthz")[0] == 200
        assert worker.admin("/readyz")[0] == 200
    stop.set()
    for thread in scrapers:
        thread.join(60)
        assert not thread.is_alive()
    assert len(served) >= 20
