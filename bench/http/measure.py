"""What is measured of a server: CPU and memory of its process tree, and what its clients see."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_REPORT = str(Path(__file__).parent / "apps" / "report.lua")

ONE_HEADER: tuple[str, ...] = ()
TWELVE_HEADERS = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3",
    "Accept-Encoding: gzip, deflate, br",
    "Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=1",
    "Referer: http://shop.example/articles?page=2",
    "DNT: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: same-origin",
    "Cache-Control: max-age=0",
)


def tree(root: int) -> list[int]:
    """`root` and all its descendants."""
    found = [root]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue  # that thread has just ended
    return found


def cpu_seconds(root: int) -> float:
    """User and system time of the tree, of the children that have ended too."""
    ticks = 0
    for pid in tree(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / _TICK


def pss_mib(root: int) -> float:
    """Memory of the tree; pages shared with others count in proportion."""
    kib = 0
    for pid in tree(root):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        kib += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return kib / 1024


@dataclass(frozen=True)
class Seen:
    """One run of wrk. Latencies are milliseconds, `cpu_us` CPU of the server's tree per request."""

    rps: float
    cpu_us: float
    p50: float
    p99: float
    longest: float
    failed: int


def wrk(
    root: int,
    port: int,
    path: str,
    connections: int,
    seconds: int,
    headers: tuple[str, ...] = ONE_HEADER,
    post: int = 0,
    vary: int = 0,
) -> Seen:
    """Load by one thread of wrk, `connections` in a closed loop.

    :param post: bytes of a body to send; `vary` different requests are sent in turn, 0 = always the same
    """
    return Wrk(root, port, path, connections, seconds, headers, post, vary).result()


class Wrk:
    """A run of wrk that goes on beside others."""

    def __init__(
        self,
        root: int,
        port: int,
        path: str,
        connections: int,
        seconds: int,
        headers: tuple[str, ...] = ONE_HEADER,
        post: int = 0,
        vary: int = 0,
        late: int = 2,
    ) -> None:
        """:param late: seconds from which an answer counts as failed"""
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={late}s"]
        command += ["--latency", "-s", _REPORT]
        for header in headers:
            command += ["-H", header]
        self._root, self._before = root, cpu_seconds(root)
        self._seconds = seconds
        self._process = subprocess.Popen(
            [*command, f"http://127.0.0.1:{port}{path}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"BENCH_POST": str(post), "BENCH_VARY": str(vary)},
        )

    def result(self) -> Seen:
        _, report = self._process.communicate(timeout=self._seconds + 30)
        seen = json.loads(report.splitlines()[-1])
        spent = cpu_seconds(self._root) - self._before
        requests = max(1, seen["requests"])
        return Seen(
            rps=seen["requests"] / seen["us"] * 1e6,
            cpu_us=spent / requests * 1e6,
            p50=seen["p50"],
            p99=seen["p99"],
            longest=seen["longest"],
            failed=seen["lost"] + seen["refused"] + seen["late"],
        )


def starved(port: int, path: str, connections: int, seconds: float) -> int:
    """How many of so many clients in a closed loop get not one answer."""
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    socks = {}
    poller = select.epoll()
    for _ in range(connections):
        sock = socket.create_connection(("127.0.0.1", port), 10)
        sock.setblocking(False)
        socks[sock.fileno()] = sock
        poller.register(sock, select.EPOLLIN)
        sock.send(request)
    answered: set[int] = set()
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for number, _ in poller.poll(left):
            try:
                data = socks[number].recv(65536)
                if data.endswith(b"world!\n"):
                    answered.add(number)
                    socks[number].send(request)
            except OSError:
                data = b""
            if not data:
                poller.unregister(number)
    for sock in socks.values():
        sock.close()
    return connections - len(answered)


class IdleClients:
    """Connections that have had one answer each and then say nothing."""

    def __init__(self, port: int, count: int) -> None:
        self.socks: list[socket.socket] = []
        request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port), 10)
            self.socks.append(sock)
            sock.sendall(request)
            if b" 200 " not in sock.recv(4096):
                raise RuntimeError("an idle client was not answered")

    def alive(self) -> int:
        """How many the server has not closed."""
        count = 0
        for sock in self.socks:
            sock.setblocking(False)
            try:
                count += bool(sock.recv(1))
            except BlockingIOError:
                count += 1
            except OSError:
                pass
        return count

    def close(self) -> None:
        for sock in self.socks:
            sock.close()


def app_milliseconds() -> float:
    """What the blocking application's sleep of 10 ms takes here, alone."""
    started = time.monotonic()
    for _ in range(50):
        time.sleep(0.010)
    return (time.monotonic() - started) / 50 * 1e3
