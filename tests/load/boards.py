"""Follows the scoreboard streams of pods, beside whoever else does; runs in the cluster's network.

Standard input: lines `NAME ADDRESS`, one for each pod when it has an address; the end of the input ends the
run. Standard output: each line of each stream, cut down to what is of interest, and one when a stream ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

ADMIN_PORT = 9090
TRIES = 900
"""A tenth of a second apart: a pod has its address long before its admin port listens."""


async def follow(name: str, address: str) -> None:
    for _ in range(TRIES):
        try:
            reader, writer = await asyncio.open_connection(address, ADMIN_PORT)
        except OSError:
            await asyncio.sleep(0.1)
            continue
        break
    else:
        return
    try:
        writer.write(b"GET /scoreboard?watch HTTP/1.1\r\nHost: %s\r\n\r\n" % address.encode())
        while line := await reader.readline():
            if line.startswith(b"{"):
                tell(name, json.loads(line))
    except (OSError, ValueError):
        pass
    finally:
        writer.close()
        print(json.dumps({"pod": name, "at": time.time(), "ended": True}), flush=True)


def tell(name: str, line: dict[str, Any]) -> None:
    workers = line["workers"]
    seen = {
        "pod": name,
        "at": time.time(),
        "edge": line["edge"],
        "state": line["state"],
        "busy": workers["busy"],
        "total": workers["total"],
        "queue": workers["queue"],
        "open": line["connections"]["open"],
        "threads": line["threadsPerChild"],
        "asked": line["settings"]["threadsPerChild"],
        "settings": line["settings"],
        "accesses": line["totals"]["accesses"],
        "cut": line["totals"]["cut"],
        "boot": line["boot"],
    }
    print(json.dumps(seen), flush=True)


async def main() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    streams = set()
    while line := await reader.readline():
        name, address = line.decode().split()
        streams.add(asyncio.create_task(follow(name, address)))
    for stream in streams:
        stream.cancel()


if __name__ == "__main__":
    asyncio.run(main())
