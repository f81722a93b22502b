"""Steps of load on demand, in the cluster's network: each line of standard input is one, `CLIENTS SECONDS`.

Prints the wall clock at the first request of each step, and an empty line when the step is over. Every client
sends the next request when the last is answered, on a connection of its own each time.
"""

from __future__ import annotations

import asyncio
import sys
import time
from urllib.parse import urlsplit


async def client(host: str, port: int, target: str, until: float) -> None:
    request = f"GET {target} HTTP/1.1\r\nHost: live\r\nConnection: close\r\n\r\n".encode()
    while time.monotonic() < until:
        try:
            async with asyncio.timeout(30):
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(request)
                await reader.read()
                writer.close()
        except (OSError, TimeoutError):
            await asyncio.sleep(0.1)


async def step(host: str, port: int, target: str, clients: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    print(time.time(), flush=True)
    await asyncio.gather(*(client(host, port, target, until) for _ in range(clients)))
    print(flush=True)


def main() -> None:
    parts = urlsplit(sys.argv[1])
    for line in sys.stdin:
        clients, seconds = line.split()
        target = f"{parts.path}?{parts.query}"
        asyncio.run(step(parts.hostname or "", parts.port or 80, target, int(clients), float(seconds)))


if __name__ == "__main__":
    main()
