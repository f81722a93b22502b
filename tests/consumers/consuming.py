"""What the tests of this folder share: a worker's pages, and how to read them."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from threading import Thread
from typing import TYPE_CHECKING

from worker_process import WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path

APP = """
import os, time

def app(environ, start_response):
    held = time.monotonic() + 120 if environ["PATH_INFO"] == "/hold" else 0
    while time.monotonic() < held and not os.path.exists("release"):
        time.sleep(0.02)
    time.sleep(0.02)
    body = b"x" * 3000
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


class Worker(WorkerProcess):
    """A worker that served some requests and is at rest."""

    folder: Path
    """Of its application."""
    held: list[Thread]

    @property
    def auto_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}/server-status?auto"

    def ask(self, count: int) -> None:
        for _ in range(count):
            assert len(read(f"http://127.0.0.1:{self.port}/")) == 3000

    def await_rest(self) -> None:
        """Every server is there, and the last connection is closed: what is read twice says the same."""
        self.await_board(
            lambda board: (
                board["workers"]["idle"]
                == board["settings"]["processes"] * board["settings"]["threadsPerChild"]
                and not board["connections"]["open"]
            )
        )

    def auto(self) -> dict[str, str]:
        return fields(read(self.auto_url))

    def settle(self, running: int = 0) -> None:
        """Wait until so many requests run and no other connection is left, also in what Event's loop told."""
        left = {"open": running, "keepAlive": 0, "reading": 0, "closing": 0}
        self.await_board(lambda board: board["connections"] == left and board["workers"]["busy"] == running)

    def hold(self, count: int) -> None:
        """So many requests run, and nothing else, until `let_go`."""
        self.settle()
        url = f"http://127.0.0.1:{self.port}/hold"
        self.held = [Thread(target=read, args=(url, 180)) for _ in range(count)]
        for thread in self.held:
            thread.start()
        self.settle(count)

    def let_go(self) -> None:
        """Of all workers in this folder."""
        (self.folder / "release").touch()
        for thread in self.held:
            thread.join(60)
            assert not thread.is_alive()


def read(url: str, seconds: float = 60) -> str:
    with urllib.request.urlopen(url, timeout=seconds) as answer:
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
