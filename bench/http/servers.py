"""The servers that are compared and how each is started, with 16 threads in each process if it has any."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
WORKER = HERE.parents[1] / "worker_image"
PROCESSES, THREADS = 2, 16

THREADED, SINGLE, ASYNC, STATIC = "threaded", "single", "async", "static"
"""Runs blocking code in threads; one request at a time a process; not WSGI; no application at all."""


FAST = ("granian", "uWSGI")
"""The strongest of the threaded ones."""


class NotInstalled(Exception):
    """A server that this machine does not have."""


@dataclass(frozen=True)
class Job:
    """What a server shall serve, in how many processes. `log`: path of its access log, empty for none."""

    port: int
    folder: Path
    module: str = "plain"
    log: str = ""
    options: tuple[str, ...] = ()
    processes: int = PROCESSES


@dataclass(frozen=True)
class Peer:
    """`command` makes the arguments; environment is added to ours."""

    name: str
    kind: str
    command: Callable[[Path, Job], list[str]]
    can_log: bool = False
    environment: dict[str, str] = field(default_factory=dict)


def _ours(python: Path, job: Job) -> list[str]:
    command = [str(python), "-P", "-m", "mpm_worker", "--bind", f"127.0.0.1:{job.port}"]
    command += ["--admin", "127.0.0.1:0", "--max-keep-alive-requests", "0"]
    command += ["--processes", str(job.processes)]
    if "--mpm" not in job.options:
        command += ["--mpm", "event", "--threads", str(THREADS), "--thread-limit", str(THREADS)]
    command += ["--access-log", job.log] if job.log else []
    return [*command, *job.options, f"{job.module}:application"]


def ours(name: str = "mpm-worker", folder: Path = WORKER, *, compiled: bool = True) -> Peer:
    """Our worker, from the sources in `folder`; compiled where that was built."""
    environment = {"PYTHONPATH": str(folder)} | ({} if compiled else {"MPM_COMPILED": "0"})
    return Peer(name, THREADED, _ours, can_log=True, environment=environment)


def _gunicorn(python: Path, job: Job) -> list[str]:
    command = [str(python.with_name("gunicorn")), "-b", f"127.0.0.1:{job.port}", "-k", "gthread"]
    command += [
        "-w",
        str(job.processes),
        "--threads",
        str(THREADS),
        "--keep-alive",
        "60",
        "--log-level",
        "error",
    ]
    command += ["--no-control-socket", *(["--access-logfile", job.log] if job.log else [])]
    return [*command, f"{job.module}:application"]


def _granian(python: Path, job: Job) -> list[str]:
    command = [str(python.with_name("granian")), "--interface", "wsgi", "--host", "127.0.0.1"]
    command += ["--port", str(job.port), "--workers", str(job.processes), "--blocking-threads", str(THREADS)]
    command += [
        "--log-level",
        "info" if job.log else "error",
        "--access-log" if job.log else "--no-access-log",
    ]
    return [*command, f"{job.module}:application"]


def _uwsgi(python: Path, job: Job) -> list[str]:
    command = [str(python.with_name("uwsgi")), "--http11-socket", f"127.0.0.1:{job.port}", "--master"]
    command += [
        "--processes",
        str(job.processes),
        "--threads",
        str(THREADS),
        "--enable-threads",
        "--die-on-term",
    ]
    command += ["--listen", "511", "--need-app", "--module", f"{job.module}:application"]
    return command + (["--logto", job.log] if job.log else ["--disable-logging", "--logto", os.devnull])


def _uvicorn(python: Path, job: Job) -> list[str]:
    command = [str(python.with_name("uvicorn")), "--host", "127.0.0.1", "--port", str(job.port)]
    command += ["--workers", str(job.processes), "--no-access-log", "--log-level", "error"]
    return [*command, "asgi_hello:application"]


def _launched(name: str) -> Callable[[Path, Job], list[str]]:
    return lambda python, job: [
        str(python),
        str(HERE / "apps" / "launch.py"),
        name,
        str(job.port),
        job.module,
        str(job.processes),
    ]


_NGINX = """
daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log /dev/null crit;
events {{ worker_connections 20000; }}
http {{
  access_log {log}; sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 600;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} reuseport backlog=511; root {folder};
    location = /file {{ try_files /big =404; }}
    location / {{ return 200 "Hello, world!\\n"; }}
  }}
}}
"""


def _nginx(_: Path, job: Job) -> list[str]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        raise NotInstalled("nginx")
    config = job.folder / f"nginx-{job.port}.conf"
    config.write_text(_NGINX.format(folder=job.folder, port=job.port, log=job.log or "off"))
    return [program, "-c", str(config), "-g", "user root;" if os.getuid() == 0 else "", "-e", os.devnull]


PEERS = {
    peer.name: peer
    for peer in (
        Peer("granian", THREADED, _granian, can_log=True),
        Peer("uWSGI", THREADED, _uwsgi, can_log=True),
        Peer("gunicorn", THREADED, _gunicorn, can_log=True),
        Peer("waitress", THREADED, _launched("waitress")),
        Peer("cheroot", THREADED, _launched("cheroot")),
        Peer("bjoern", SINGLE, _launched("bjoern")),
        Peer("fastwsgi", SINGLE, _launched("fastwsgi")),
        Peer("uvicorn", ASYNC, _uvicorn),
        Peer("nginx", STATIC, _nginx, can_log=True),
    )
}


class Running:
    """A server of ours to end: its whole process group, which nothing else is in."""

    def __init__(self, peer: Peer, python: Path, job: Job) -> None:
        """Starts it and waits until it answers.

        :raises NotInstalled: its program is not there
        :raises RuntimeError: it does not answer within 15 s; its last words are in the message
        """
        self.peer, self.port = peer, job.port
        environ = {
            name: value for name, value in os.environ.items() if not name.startswith(("MPM_", "PYTHON"))
        }
        environ |= {"PYTHONPATH": "", "BENCH_FILE": str(job.folder / "big"), "PYTHONWARNINGS": "ignore"}
        environ |= peer.environment
        apps = str(HERE / "apps")
        environ["PYTHONPATH"] = ":".join(filter(None, (environ["PYTHONPATH"], apps)))
        command = peer.command(python, job)
        if not Path(command[0]).exists():
            raise NotInstalled(peer.name)
        said = job.folder / f"{peer.name}-{job.port}.said"
        # Granian logs its accesses on standard output.
        out = open(job.log, "ab") if job.log and peer.name == "granian" else open(os.devnull, "wb")  # noqa: SIM115
        started = time.monotonic()
        with out, said.open("wb") as errors:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=errors, env=environ, cwd=apps, start_new_session=True
            )
        path = "/json/1" if job.module == "flask_json" else "/"
        try:
            self._await(started + 15, path)
        except TimeoutError:
            self.stop()
            raise RuntimeError(
                f"{peer.name} does not answer: {said.read_text(errors='replace')[-400:]}"
            ) from None
        self.start_seconds = time.monotonic() - started

    def _await(self, end: float, path: str) -> None:
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as sock:
                sock.sendall(request)
                if b" 200 " in sock.recv(4096):
                    return
            time.sleep(0.002)
        raise TimeoutError

    def stop(self) -> None:
        """TERM, and KILL for what is left of its group after 4 s."""
        end = time.monotonic() + 4
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
            while time.monotonic() < end:
                self.process.poll()
                os.killpg(self.process.pid, 0)
                time.sleep(0.02)
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
