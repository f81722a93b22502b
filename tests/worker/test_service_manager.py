"""systemd: sockets that it hands down, and what it hears of us."""

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
from contextlib import closing
from pathlib import Path

import pytest
from testcluster import packages
from worker_http import UnixConnection, told

from mpm_worker.systemd import Given, forget, given

APPS = Path(__file__).parent / "apps"
SYSTEMD = {"systemd": "/usr/bin/systemd-socket-activate"}


class Manager:
    """Listens as systemd does where services report to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(0.2)
        self.heard: list[str] = []

    def await_line(self, pattern: str, seconds: float = 60) -> str:
        """The next line that matches; those before it are forgotten."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            while self.heard:
                line = self.heard.pop(0)
                if re.fullmatch(pattern, line):
                    return line
            try:
                self.heard += self.socket.recv(4096).decode().split("\n")
            except TimeoutError:
                pass
        raise AssertionError(f"{pattern} was not told")


@pytest.fixture
def manager(tmp_path):
    found = Manager(tmp_path / "notify")
    yield found
    found.socket.close()


def notifying(manager: Manager, *more: str) -> tuple[str, ...]:
    return ("env", f"NOTIFY_SOCKET={manager.path}", *more)


def test_a_service_manager_hears_every_change(start, manager, mpm: str) -> None:
    worker = start(
        "--mpm", mpm, "--processes", "2", "--threads", "2", app="told:app", through=notifying(manager)
    )
    manager.await_line("READY=1")
    manager.await_line(r"STATUS=Serving: 0 busy, [24] idle, 0 waiting")
    worker.signal(signal.SIGHUP)
    manager.await_line("RELOADING=1")
    manager.await_line(r"MONOTONIC_USEC=\d+")
    manager.await_line("READY=1")
    worker.await_board(lambda board: board["generation"] == 1)
    worker.signal(signal.SIGTERM)
    manager.await_line("STOPPING=1")
    assert worker.exit_code() == 0


def test_ready_is_told_when_a_server_accepts_and_not_before(start, manager, tmp_path) -> None:
    go = tmp_path / "go"
    (tmp_path / "late.py").write_text(
        "import os, time\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.02)\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'here']\n"
    )
    start(app="late:app", chdir=tmp_path, ready=False, through=notifying(manager))
    manager.await_line("STATUS=Starting: .*")
    assert "READY=1" not in manager.heard
    go.touch()
    manager.await_line("READY=1")


def test_the_status_is_told_once_a_second(start, manager, hammer) -> None:
    worker = start("--threads", "4", app="paths:app", through=notifying(manager))
    manager.await_line("READY=1")
    began = time.monotonic()
    hammer(worker.port, 8, "/sleep/0.005")
    for _ in range(3):
        manager.await_line("STATUS=.*")
    assert time.monotonic() - began > 1


def test_the_watchdog_is_fed_twice_in_its_time(start, manager) -> None:
    began = time.monotonic()
    start(app="told:app", through=notifying(manager, "WATCHDOG_USEC=400000"))
    manager.await_line("READY=1")
    for _ in range(30):
        manager.await_line("WATCHDOG=1")
    assert time.monotonic() - began > 4  # and not in a loop without a pause


def test_the_application_does_not_take_it_for_its_own(start, manager) -> None:
    worker = start(
        app="told:app", through=notifying(manager, "WATCHDOG_USEC=4000000", "LISTEN_PID=1", "LISTEN_FDS=1")
    )
    with closing(http.client.HTTPConnection("127.0.0.1", worker.port, timeout=60)) as connection:
        connection.request("GET", "/identity")
        environ = json.loads(connection.getresponse().read())["environ"]
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS"} & set(environ)


def test_a_manager_that_is_gone_ends_nothing(start, manager) -> None:
    worker = start(app="told:app", through=notifying(manager))
    manager.await_line("READY=1")
    manager.path.unlink()
    worker.signal(signal.SIGHUP)
    worker.await_board(lambda board: board["generation"] == 1)
    assert worker.get()[0] == 200


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


@pytest.fixture
def activate(tmp_path):
    """Runs a worker behind sockets that systemd-socket-activate listens on until the first connection."""
    packages.ensure(SYSTEMD, "the tests of socket activation")
    running: list[tuple[subprocess.Popen[str], threading.Thread]] = []

    def begin(listen: list[str], *arguments: str) -> tuple[subprocess.Popen[str], list[str]]:
        program = ["systemd-socket-activate", *listen]
        worker = [sys.executable, "-P", "-m", "mpm_worker", "--chdir", str(APPS), *arguments, "told:app"]
        process = subprocess.Popen([*program, *worker], stderr=subprocess.PIPE, text=True)
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.extend(process.stderr), daemon=True)
        reader.start()
        running.append((process, reader))
        return process, said

    yield begin
    for process, reader in running:
        process.kill()
        process.wait(60)
        reader.join(60)
        process.stderr.close()


def await_answer(ask, seconds: float = 60) -> dict[str, str]:
    end = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except (ConnectionRefusedError, FileNotFoundError):
            assert time.monotonic() < end
            time.sleep(0.05)


def test_sockets_that_are_handed_down_are_served(activate, mpm: str, tmp_path) -> None:
    port, admin, path = free_port(), free_port(), tmp_path / "http.sock"
    listen = [f"--listen={path}", f"--listen=127.0.0.1:{port}", f"--listen=127.0.0.1:{admin}"]
    process, said = activate([*listen, "--fdname=unix:web:admin"], "--mpm", mpm, "--processes", "1")
    environ = await_answer(lambda: told(UnixConnection(path)))
    assert environ["SERVER_NAME"] == "localhost"
    environ = told(http.client.HTTPConnection("127.0.0.1", port, timeout=60))
    assert environ["SERVER_PORT"] == str(port)
    with closing(http.client.HTTPConnection("127.0.0.1", admin, timeout=60)) as connection:
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
    process.terminate()
    assert process.wait(60) == 0
    assert any(
        f"listening on unix:{path}, http://127.0.0.1:{port}, admin on http://127.0.0.1:{admin}" in line
        for line in said
    )
    assert path.exists()  # it is the service manager's


def test_own_addresses_are_served_beside_them(activate, tmp_path) -> None:
    port, path = free_port(), tmp_path / "http.sock"
    options = ("--bind", f"unix:{path}", "--admin", "127.0.0.1:0")
    activate([f"--listen=127.0.0.1:{port}"], *options)
    await_answer(lambda: told(http.client.HTTPConnection("127.0.0.1", port, timeout=60)))
    assert told(UnixConnection(path))["REMOTE_ADDR"] == ""


def test_sockets_for_another_process_are_left_alone() -> None:
    ours = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "3", "LISTEN_FDNAMES": "a:admin:b"}
    assert given(ours) == Given((3, 5), (4,))
    assert given(ours | {"LISTEN_PID": "1"}) == Given()
    assert given(ours | {"LISTEN_FDS": "many"}) == Given()
    assert given({}) == Given()
    environ = ours | {"PATH": "/bin"}
    forget(environ)
    assert environ == {"PATH": "/bin"}
