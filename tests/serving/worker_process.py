"""A real worker in a process of its own, on ports of the kernel: tests of several folders start it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MODELS = ["prefork", "worker", "event"]
PATIENCE = 45.0
"""Seconds anything is waited for: longer than a machine stands still, less than the worker's own limits of a
minute, so that what only they would end is seen to fail."""

KEEPING = {"MPM_KEEP_ALIVE_TIMEOUT": "30"}
"""A connection that a test keeps stays: a machine may stand still for longer than the default of 5 s."""


def fetch(
    port: int,
    path: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


class WorkerProcess:
    """One supervisor with `arguments`; `said` holds its lines on stderr.

    `through` is a command that runs it, `fds` are descriptors it inherits, `environ` is added to an
    environment without the worker's own variables (but MPM_COMPILED, which says what twin is tested).
    """

    def __init__(
        self,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        fds: tuple[int, ...] = (),
        through: tuple[str, ...] = (),
    ) -> None:
        command = [*through, sys.executable, "-P", "-m", "mpm_worker", "--admin", "127.0.0.1:0"]
        command += [] if "--bind" in arguments else ["--bind", "127.0.0.1:0"]
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("MPM_") or name == "MPM_COMPILED"
        }
        self.process = subprocess.Popen(
            [*command, *arguments],
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=fds,
            env=KEEPING | inherited | dict(environ or {}),
            start_new_session=True,
        )
        self.said: list[str] = []
        self._heard = threading.Condition()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._heard:
                self.said.append(line.rstrip())
                self._heard.notify_all()

    def await_line(self, pattern: str, seconds: float = PATIENCE) -> re.Match[str]:
        """What matches in the first line on stderr where anything does."""
        end = time.monotonic() + seconds
        with self._heard:
            while True:
                for line in self.said:
                    if match := re.search(pattern, line):
                        return match
                left = end - time.monotonic()
                if left <= 0 or not self._reader.is_alive():
                    raise AssertionError(f"{pattern!r} is not in {self.said}, exit {self.process.poll()}")
                self._heard.wait(min(left, 0.2))

    @cached_property
    def port(self) -> int:
        """Of the first address; it is told once a server accepts."""
        return int(self.await_line(r"listening on https?://[^, ]+:(\d+)")[1])

    @cached_property
    def admin_port(self) -> int:
        return int(self.await_line(r"starting .*, admin on http://\S+:(\d+)")[1])

    @property
    def child(self) -> int:
        """The process that serves, where there is one."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def get(self, path: str = "/", **kwargs: Any) -> tuple[int, dict[str, str], bytes]:
        return fetch(self.port, path, **kwargs)

    def admin(self, path: str, **kwargs: Any) -> tuple[int, dict[str, str], bytes]:
        return fetch(self.admin_port, path, **kwargs)

    def scoreboard(self) -> dict[str, Any]:
        board: dict[str, Any] = json.loads(self.admin("/scoreboard")[2])
        return board

    def await_board(
        self, wanted: Callable[[dict[str, Any]], Any], seconds: float = PATIENCE
    ) -> dict[str, Any]:
        """The first scoreboard for which `wanted` holds."""
        end = time.monotonic() + seconds
        while True:
            board = self.scoreboard()
            if wanted(board):
                return board
            assert time.monotonic() < end, board
            time.sleep(0.02)

    def await_idle(self) -> dict[str, Any]:
        """The scoreboard once nobody is served. Who comes sooner may be told to close for those who wait."""
        return self.await_board(lambda board: board["workers"]["busy"] == 0)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def exit_code(self, seconds: float = PATIENCE) -> int:
        code = self.process.wait(seconds)
        self._reader.join(PATIENCE)
        return code

    def end(self) -> None:
        """Ask it to end as Kubernetes would, then make sure; its children go too."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.kill()

    def kill(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self.process.stderr is not None
        self.process.stderr.close()
        print(*self.said, sep="\n")  # pytest shows it with a test that failed
