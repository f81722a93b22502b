"""Starts the real worker: real processes, real sockets, ports that the kernel picks."""

from __future__ import annotations

import http.client
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from gate import Gate
from worker_process import PATIENCE, WorkerProcess

from mpm_worker.control import sign

sys.path.insert(0, str(Path(__file__).parent))

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

APPS = Path(__file__).parent / "apps"
KEY = bytes(range(32))
POD = "pod-1"


class Worker(WorkerProcess):
    """One supervisor and how to talk to it."""

    def __init__(self, *arguments: str, app: str, chdir: Path, keys: Path, **started: Any) -> None:
        own = ("--chdir", str(chdir), "--control-keys", str(keys), "--pod-uid", POD)
        super().__init__(*own, *arguments, app, **started)
        self.await_line("starting .*, admin on")
        self.sequence = 0

    def call(
        self, method: str, path: str, document: Any = None, /, **wrong: Any
    ) -> tuple[int, dict[str, Any]]:
        """A signed control call; `wrong` replaces a part of what is signed."""
        body = json.dumps({} if document is None else document).encode()
        self.sequence = self.scoreboard()["sequence"] + 1
        signed: dict[str, Any] = {
            "key": KEY,
            "pod_uid": POD,
            "boot": self.scoreboard()["boot"],
            "sequence": self.sequence,
            "method": method,
            "path": path,
            "body": body,
        }
        signature = sign(**(signed | wrong))
        headers = {"X-MPM-Sequence": str(wrong.get("sequence", self.sequence)), "X-MPM-Signature": signature}
        status, _, answer = self.admin(path, method=method, body=body, headers=headers)
        return status, json.loads(answer)

    def await_ready(self) -> None:
        self.await_board(lambda board: board["workers"]["idle"] == _slots(board))

    def watch(self) -> Watch:
        return Watch(self.admin_port)

    # -- life

    def signal(self, number: int) -> None:
        self.process.send_signal(number)


class Watch:
    """A stream of the scoreboard's lines."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.sock.sendall(b"GET /scoreboard?watch HTTP/1.1\r\nHost: x\r\n\r\n")
        self._data = b""
        head = self._until(b"\r\n\r\n")
        assert b"application/x-ndjson" in head
        assert b"Transfer-Encoding: chunked" in head

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._data:
            piece = self.sock.recv(65536)
            assert piece, "the stream ended"
            self._data += piece
        found, _, self._data = self._data.partition(mark)
        return found

    def line(self) -> dict[str, Any]:
        size = int(self._until(b"\r\n"), 16)
        while len(self._data) < size + 2:
            self._data += self.sock.recv(65536)
        text, self._data = self._data[:size], self._data[size + 2 :]
        assert text.endswith(b"\n")
        assert len(text) <= 1024
        return json.loads(text)

    def await_edge(self, edge: str, lines: int = 60) -> dict[str, Any]:
        for _ in range(lines):
            line = self.line()
            if line["edge"] == edge:
                return line
        raise AssertionError(f"no edge {edge} in {lines} lines")

    def close(self) -> None:
        self.sock.close()


class Hammer:
    """Clients in a closed loop, nothing retried. `failures` holds what a user would call failed.

    Who stood still for a second or more between two requests may find the connection closed: it was idle.
    """

    def __init__(self, port: int, clients: int, path: str = "/", *, keep_alive: bool = True) -> None:
        self.port, self.path, self.keep_alive = port, path, keep_alive
        self.served = 0
        self.failures: list[str] = []
        self.refused_ends = False
        """Set when the port is about to close: who then cannot connect has come to the end, not failed."""
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        answered = 0.0
        while not self._stop.is_set():
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
                try:
                    connection.connect()
                except OSError as error:
                    if self.refused_ends:
                        return
                    self.failures.append(f"connect: {error!r}")
                    return
                answered = time.monotonic()
            late = 0.0
            try:
                headers = {} if self.keep_alive else {"Connection": "close"}
                connection.request("GET", self.path, headers=headers)
                late = time.monotonic() - answered
                response = connection.getresponse()
                response.read()
                answered = time.monotonic()
                if response.status >= 400:
                    self.failures.append(f"status {response.status}")
                with self._lock:
                    self.served += 1
                if response.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                if (late or time.monotonic() - answered) < 1:
                    self.failures.append(repr(error))
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


def _slots(board: dict[str, Any]) -> int:
    return board["settings"]["processes"] * board["settings"]["threadsPerChild"]


def key_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "current").write_text(f"1:{KEY.hex()}")
    return folder


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return key_folder(tmp_path / "keys")


def _need_root_for(through: tuple[str, ...]) -> None:
    if through[:1] == ("setpriv",) and os.geteuid():
        pytest.skip("only root can give privileges away")


@pytest.fixture
def start(keys: Path) -> Iterator[Callable[..., Worker]]:
    """Starts a worker with these options and waits until it is ready (or not, with ready=False).

    `through` is a command that runs it, such as one that takes away its privileges.
    """
    workers: list[Worker] = []

    def begin(
        *arguments: str,
        app: str = "paths:app",
        chdir: Path = APPS,
        ready: bool = True,
        fds: tuple[int, ...] = (),
        through: tuple[str, ...] = (),
    ) -> Worker:
        _need_root_for(through)
        worker = Worker(*arguments, app=app, chdir=chdir, keys=keys, fds=fds, through=through)
        workers.append(worker)
        if ready:
            worker.await_ready()
        return worker

    yield begin
    for worker in workers:
        worker.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Worker]]:
    """A worker with these options, one for all tests of a file: who uses it leaves it as it was."""
    keys = key_folder(tmp_path_factory.mktemp("shared") / "keys")
    workers: dict[tuple[str, ...], Worker] = {}

    def get(*arguments: str, app: str = "paths:app") -> Worker:
        if (app, *arguments) not in workers:
            workers[app, *arguments] = Worker(*arguments, app=app, chdir=APPS, keys=keys)
        workers[app, *arguments].await_ready()
        return workers[app, *arguments]

    yield get
    for worker in workers.values():
        worker.kill()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


@pytest.fixture
def hammer() -> Iterator[Callable[..., Hammer]]:
    hammers: list[Hammer] = []

    def begin(*arguments: Any, **options: Any) -> Hammer:
        hammers.append(Hammer(*arguments, **options))
        return hammers[-1]

    yield begin
    for one in hammers:
        one.stop()


@pytest.fixture
def run_to_the_end() -> Callable[..., tuple[int, str]]:
    """Runs a worker that ends by itself: its exit code and what it said."""

    def run(*arguments: str, through: tuple[str, ...] = ()) -> tuple[int, str]:
        _need_root_for(through)
        command = [*through, sys.executable, "-P", "-m", "mpm_worker", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stderr

    return run


@pytest.fixture(params=["prefork", "worker", "event"])
def mpm(request: pytest.FixtureRequest) -> str:
    return request.param


def readable(sock: socket.socket, seconds: float) -> bool:
    return bool(select.select([sock], [], [], seconds)[0])
