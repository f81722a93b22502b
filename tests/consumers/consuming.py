"""What the tests of this folder share: a worker's pages, and how to read them."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request

from worker_process import WorkerProcess

APP = """
import time

def app(environ, start_response):
    time.sleep(0.02)
    body = b"x" * 3000
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


class Worker(WorkerProcess):
    """A worker that served some requests and is at rest."""

    @property
    def auto_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}/server-status?auto"

    def ask(self, count: int) -> None:
        for _ in range(count):
            assert len(read(f"http://127.0.0.1:{self.port}/")) == 3000

    def auto(self) -> dict[str, str]:
        return fields(read(self.auto_url))


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode("latin-1"))


def fields(text: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


def samples(text: str) -> dict[str, float]:
    """Of Prometheus' text format: name with labels → value."""
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def free_port() -> int:
    """For programs that cannot be told to take any port."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def answers(url: str, seconds: float = 60) -> str:
    """What the URL says as soon as it says something."""
    end = time.monotonic() + seconds
    while True:
        try:
            return read(url)
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < end, url
            time.sleep(0.05)
