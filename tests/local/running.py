"""Starts the real `mpm run` and hears it; ends only what it started."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

MPM = str(Path(sys.executable).with_name("mpm"))
PATIENCE_SECONDS = 100.0

WEBSERVER = """\
apiVersion: mpm-operator.io/v1alpha1
kind: WebServer
metadata: {name: shop}
spec:
  app: {module: "app:application"}
  mpm: {startServers: 1, threadsPerChild: 2, threadLimit: 4, maxRequestWorkers: 8}
"""
APP = """\
import time
def application(environ, start_response):
    if environ["QUERY_STRING"]:
        open("asked", "w").close()
        time.sleep(float(environ["QUERY_STRING"]))
    start_response("200 OK", [("Content-Length", "3")])
    return [b"ok\\n"]
"""


def write(folder: Path, webserver: str = WEBSERVER, app: str | None = APP) -> Path:
    """A WebServer and its app in `folder`; returns the YAML's path."""
    if app is not None:
        (folder / "app.py").write_text(app)
    (folder / "webserver.yaml").write_text(webserver)
    return folder / "webserver.yaml"


class Running:
    """`mpm run FILE --port 0`, from its start to the end of all its processes."""

    def __init__(self, file: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [MPM, "run", str(file), "--port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._fresh: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.seen: set[int] = set()

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.look()
        self.process.kill()
        for pid in self.seen:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self._reader.join(PATIENCE_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            self._fresh.put(line.rstrip())
        self._fresh.put(None)

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def hear(self, pattern: str, patience: float = PATIENCE_SECONDS) -> re.Match[str]:
        """The first new line that matches; fails with all output when none comes."""
        deadline = time.monotonic() + patience
        while True:
            try:
                line = self._fresh.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"no line like {pattern!r} in:\n{self.output}")
            if found := re.search(pattern, line):
                return found

    def serving(self) -> str:
        """Wait until it serves; returns the URL."""
        return self.hear(r"serving \S+ on (\S+)")[1]

    def workers(self) -> set[int]:
        """Supervisors and their servers that run now."""
        return {pid for pid, _ in descendants(self.process.pid)}

    def supervisors(self) -> set[int]:
        return {pid for pid, parent in descendants(self.process.pid) if parent == self.process.pid}

    def look(self) -> set[int]:
        """Remember who runs, so that it can be told later that nobody is left."""
        self.seen |= self.workers()
        return self.seen

    def interrupt(self, number: int = signal.SIGINT) -> None:
        self.look()
        self.process.send_signal(number)

    def end(self, patience: float = PATIENCE_SECONDS) -> int:
        """Wait for its end; returns the exit code."""
        return self.process.wait(patience)


def descendants(root: int) -> list[tuple[int, int]]:
    """(pid, parent) of every process under `root` that is no zombie."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if state != "Z":
                parents[int(entry.name)] = int(parent)
    found: list[tuple[int, int]] = []
    level = {root}
    while level:
        step = [(pid, parent) for pid, parent in parents.items() if parent in level]
        found += step
        level = {pid for pid, _ in step}
    return found


def alive(pid: int) -> bool:
    """Whether it runs; a zombie has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually(what: Callable[[], bool], patience: float = PATIENCE_SECONDS) -> bool:
    """Whether `what` comes true in time."""
    deadline = time.monotonic() + patience
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()
