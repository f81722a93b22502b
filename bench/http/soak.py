"""`python bench/http/soak.py --minutes 60`: mixed load on one worker; memory, descriptors and slots stay.

Each turn asks for small, slow, large and posted things in parallel, and opens connections that are dropped in
the middle of a request. Fails when memory grew from the second quarter of the time to the last by more than
5 % and 1 MiB, when a request failed, or when something is left at the end. A run of less than ten minutes may
grow by 16 MiB: the heaps of 32 threads fill slowly. A leak of 30 bytes a request is more in a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from measure import Wrk, pss_mib, tree
from servers import Job, Running, free_port, ours

_TURN = 5
"""Seconds."""
_LONG_MINUTES, _WARM_UP_MIB = 10, 16
_LATE = 60
"""Seconds: longer than a turn, since a machine that stands still for a while is no fault of the server."""
_LOADS = (("/", 16, 0), ("/sleep10", 16, 0), ("/file", 4, 0), ("/echo", 8, 102400))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="soak-http-") as name:
        folder = Path(name)
        (folder / "big").write_bytes(os.urandom(1 << 20))
        admin = free_port()
        log = str(folder / "access.log")
        options = ("--admin", f"127.0.0.1:{admin}", "--keep-alive-timeout", str(_LATE))
        job = Job(free_port(), folder, log=log, options=options)
        server = Running(ours(), Path(sys.executable), job)
        try:
            faults = _soak(server, admin, minutes * 60, Path(log))
        finally:
            server.stop()
    sys.exit("; ".join(faults) if faults else 0)


def _soak(server: Running, admin: int, seconds: float, log: Path) -> list[str]:
    end = time.monotonic() + seconds
    memory: list[float] = []
    root, failed, turns = server.process.pid, 0, 0
    while time.monotonic() < end or turns < 4:
        runs = [
            Wrk(root, server.port, path, count, _TURN, post=post, late=_LATE) for path, count, post in _LOADS
        ]
        _drop_connections(server.port, 200)
        seen = [run.result() for run in runs]
        failed += sum(each.failed for each in seen)
        turns += 1
        memory.append(pss_mib(root))
        os.truncate(log, 0)
        rates = "  ".join(f"{path} {each.rps:.0f}/s" for (path, *_), each in zip(_LOADS, seen, strict=True))
        print(f"{turns:5} {memory[-1]:6.1f} MiB  {_descriptors(root)} descriptors  {rates}", flush=True)
    room = 1 if seconds >= _LONG_MINUTES * 60 else _WARM_UP_MIB
    return _judge(memory, room, failed, _board_at_rest(admin))


def _judge(memory: list[float], room: float, failed: int, board: dict[str, dict[str, int]]) -> list[str]:
    quarter = max(1, len(memory) // 4)
    early, late = statistics.median(memory[quarter : 2 * quarter]), statistics.median(memory[-quarter:])
    print(f"memory {early:.1f} -> {late:.1f} MiB, {failed} requests failed, left: {board}")
    faults = []
    if late > early * 1.05 + room:
        faults.append(f"memory grew from {early:.1f} to {late:.1f} MiB")
    if failed:
        faults.append(f"{failed} requests failed")
    if board["workers"]["busy"] or board["connections"]["open"]:
        faults.append(f"slots or connections are left: {board}")
    return faults


def _drop_connections(port: int, count: int) -> None:
    for number in range(count):
        with socket.create_connection(("127.0.0.1", port), _LATE) as sock:
            sock.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"[: 5 + number % 60])


def _descriptors(root: int) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in tree(root))


def _board_at_rest(admin: int) -> dict[str, dict[str, int]]:
    """Once nothing is left, or at last."""
    end = time.monotonic() + 30
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/scoreboard", timeout=_LATE) as answer:
            board = json.load(answer)
        at_rest = not (board["workers"]["busy"] or board["connections"]["open"])
        if at_rest or time.monotonic() > end:
            return {"workers": board["workers"], "connections": board["connections"]}
        time.sleep(0.5)


if __name__ == "__main__":
    main()
