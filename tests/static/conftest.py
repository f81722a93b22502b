"""A folder of files, and two ways to ask for them: the application itself, and a real worker."""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from worker_process import MODELS, WorkerProcess

from mpm_worker.static.app import StaticFiles
from mpm_worker.static.mount import Mount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TEXT = bytes(range(97, 123)) * 4  # 104 bytes
SECRET = b"nobody may read this"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`site` is what is served; beside it lies what must never be."""
    top = tmp_path_factory.mktemp("static")
    site = top / "site"
    (site / "sub" / "deep").mkdir(parents=True)
    (site / "alphabet.txt").write_bytes(TEXT)
    (site / "empty.css").touch()
    (site / "sub" / "index.html").write_bytes(b"<p>index")
    (site / "sp ace \xe4.html").write_bytes(b"<p>named")
    (site / "large.bin").write_bytes(os.urandom(1 << 16) * 48)  # 3 MiB
    for name, coding in (("app.js", "br gz"), ("only.js", "gz"), ("stale.js", "gz")):
        (site / name).write_bytes(b"plain " + name.encode())
        if "gz" in coding:
            (site / f"{name}.gz").write_bytes(gzip.compress(b"packed " + name.encode()))
        if "br" in coding:
            (site / f"{name}.br").write_bytes(b"br " + name.encode())
    os.utime(site / "stale.js.gz", (1, 1))
    (site / ".env").write_bytes(SECRET)
    (site / ".git").mkdir()
    (site / ".git" / "config").write_bytes(SECRET)
    (top / "secret.txt").write_bytes(SECRET)
    (top / "site-of-others").mkdir()
    (top / "site-of-others" / "file.txt").write_bytes(SECRET)
    (site / "out.txt").symlink_to(top / "secret.txt")
    (site / "relative.txt").symlink_to("../secret.txt")
    (site / "outside").symlink_to(top)
    (site / "neighbour").symlink_to(top / "site-of-others")
    (site / "passwd").symlink_to("/etc/passwd")
    (site / "loop").symlink_to("loop")
    (site / "inside.txt").symlink_to("sub/../alphabet.txt")
    (site / "..data").mkdir()
    (site / "..data" / "mounted.txt").write_bytes(b"as Kubernetes mounts it")
    (site / "mounted.txt").symlink_to("..data/mounted.txt")
    os.mkfifo(site / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site / "socket"))
    return top


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def __getitem__(self, name: str) -> str | None:
        return self.headers.get(name.lower())


def behind(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the application: " + environ["PATH_INFO"].encode("latin-1")]


@pytest.fixture(scope="session")
def ask(folder: Path) -> Callable[..., Answer]:
    """Calls the application in front, watched by the validator of the standard library."""
    app = validator(StaticFiles([Mount("/static", str(folder / "site"))], validator(behind)))

    def call(path: str, method: str = "GET", **fields: str) -> Answer:
        environ: dict[str, Any] = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path}
        environ["QUERY_STRING"] = ""
        environ |= {f"HTTP_{name.upper()}": value for name, value in fields.items()}
        setup_testing_defaults(environ)
        seen: list[Any] = []
        result = app(environ, lambda status, headers, exc_info=None: seen.append((status, headers)))
        body = b"".join(result)
        result.close()
        status, headers = seen[-1]
        named = {name.lower(): value for name, value in headers}
        assert len(named) == len(headers), headers
        length = named.get("content-length")
        assert length is None or int(length) == len(body)
        return Answer(int(status[:3]), named, body)

    return call


class Worker(WorkerProcess):
    """A worker with `--static /static=DIR`, whose application answers everything else."""

    def __init__(self, folder: Path, mpm: str) -> None:
        size = ("--mpm", mpm, "--processes", "1", "--threads", "2", "--graceful-timeout", "2")
        size += ("--keep-alive-timeout", "60")
        files = ("--static", f"/static={folder}/site", "--static", f"/files/deep/={folder}/site/sub")
        super().__init__(*size, *files, "--chdir", os.path.dirname(__file__), "refusing:app")

    def exchange(self, stream: bytes) -> bytes:
        """Everything that comes back until the worker closes or resets."""
        received = b""
        with self.connect() as client, contextlib.suppress(ConnectionResetError):
            client.sendall(stream)
            while data := client.recv(1 << 20):
                received += data
        return received


@pytest.fixture(scope="session", params=MODELS)
def worker(request: pytest.FixtureRequest, folder: Path) -> Iterator[Worker]:
    running = Worker(folder, request.param)
    yield running
    running.end()
