"""An open loop: the simulator's own requests, each sent at its time whatever the others do.

Runs in the cluster's network: `python open_loop.py URL PLAN.json`. The plan names the rates and the settings
of the model, so the simulator and the cluster meet the same arrivals and service times. The application is
told how long to hold the slot and answers how long it did; what a request took beyond that it waited, for a
slot or on its way. Prints one JSON line: counts, violations, by how much this program itself was late, and
the wall clock at the end of the warm-up.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from mpm_operator.simulator.load import requests
from mpm_operator.simulator.scenario import Scenario

PATIENCE_S = 30.0


class Run:
    """What came of the requests that arrived after the warm-up."""

    def __init__(self, host: str, port: int, skip_s: float, slo_s: float) -> None:
        self.host, self.port, self.skip_s, self.slo_s = host, port, skip_s, slo_s
        self.waits: list[float] = []
        self.held: list[float] = []
        self.lags: list[float] = []
        self.failures: dict[str, int] = {}

    async def one(self, arrival: float, service: float, began: float) -> None:
        sent, failure, held = time.monotonic(), "", 0.0
        try:
            async with asyncio.timeout(PATIENCE_S):
                held = await self._exchange(service)
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
            failure = type(error).__name__
        wait = time.monotonic() - sent - held
        if arrival < self.skip_s:
            return
        self.lags.append(sent - began - arrival)
        if failure:
            self.failures[failure] = self.failures.get(failure, 0) + 1
        else:
            self.waits.append(wait)
            self.held.append(held)

    async def _exchange(self, service: float) -> float:
        """Send one request on a connection of its own; return for how long it held a slot."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            query = f"GET /?us={service * 1e6:.0f} HTTP/1.1\r\nHost: live\r\nConnection: close\r\n\r\n"
            writer.write(query.encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head[:16]:
                raise ValueError(head[:60])
            return int(head.lower().partition(b"x-held-us:")[2].split()[0]) / 1e6
        finally:
            writer.close()

    def told(self) -> dict[str, object]:
        failed = sum(self.failures.values())
        late = sum(wait > self.slo_s for wait in self.waits) + failed
        count = len(self.waits) + failed
        return {
            "requests": count,
            "violations_percent": 100 * late / max(1, count),
            "failures": self.failures,
            "wait_p50_ms": _percentile(self.waits, 0.5),
            "wait_p99_ms": _percentile(self.waits, 0.99),
            "held_mean_s": sum(self.held) / max(1, len(self.held)),
            "lag_p99_ms": _percentile(self.lags, 0.99),
        }


def _percentile(values: list[float], share: float) -> float:
    return round(1000 * sorted(values)[int(share * len(values))], 1) if values else 0.0


async def main(url: SplitResult, plan: dict[str, Any]) -> None:
    """Send them all; wait for the last answer."""
    warm_up = int(plan["warm_up_s"])
    scenario = Scenario(service_s=plan["service_s"], seed=plan["seed"], warm_up_s=warm_up)
    rates = [*[plan["rates"][0]] * warm_up, *plan["rates"]]
    run = Run(url.hostname or "127.0.0.1", url.port or 80, warm_up, plan["slo_s"])
    began, wall, tasks = time.monotonic(), time.time() + warm_up, set()
    for arrival, service in requests(rates, scenario):
        await asyncio.sleep(max(0.0, began + arrival - time.monotonic()))
        task = asyncio.create_task(run.one(arrival, service, began))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    print(json.dumps({**run.told(), "began": wall}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(urlsplit(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())))
