"""What is killed, stopped or starved takes down what it had in hand, and nothing else."""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testcluster import packages

if TYPE_CHECKING:
    from collections.abc import Iterator

APPS = Path(__file__).parent / "apps"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
RESET = struct.pack("ii", 1, 0)


def pids(worker) -> set[int]:
    return {process["pid"] for process in worker.scoreboard()["processes"]}


def test_a_killed_server_leaves_no_slot_behind(start, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "1", "--threads", "3", app="trouble:app")
    slots = worker.scoreboard()["workers"]["idle"]
    cut: list[str] = []

    def ask() -> None:
        try:
            worker.get("/sleep/200")
        except (OSError, http.client.HTTPException) as error:
            cut.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(slots)]
    for thread in threads:
        thread.start()
    worker.await_board(lambda board: board["workers"]["busy"] == slots)
    for pid in pids(worker):
        os.kill(pid, signal.SIGKILL)
    board = worker.await_board(lambda board: board["workers"]["idle"] == slots)
    assert board["workers"] == {"busy": 0, "idle": slots, "total": slots, "queue": 0}
    for thread in threads:
        thread.join(60)
    assert len(cut) == slots
    assert worker.get()[0] == 200


def test_a_supervisor_that_stands_still_stops_no_request(start, hammer, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "2", "--threads", "2")
    watch = worker.watch()
    first = watch.line()
    clients = hammer(worker.port, 4)
    worker.signal(signal.SIGSTOP)
    try:
        while select.select([watch.sock], [], [], 1.5)[0]:
            assert watch.sock.recv(65536)  # what was sent before
        served, end = clients.served, time.monotonic() + 60
        while clients.served == served:
            assert time.monotonic() < end
            time.sleep(0.1)
    finally:
        worker.signal(signal.SIGCONT)
    watch.close()
    again = worker.watch()
    line = again.line()
    again.close()
    clients.stop()
    assert clients.failures == []
    assert line["boot"] == first["boot"]
    assert line["totals"]["accesses"] >= served


def test_a_flooded_admin_port_stops_neither_requests_nor_probes(start, hammer) -> None:
    worker = start("--processes", "2", "--threads", "2")
    clients = hammer(worker.port, 2)
    over = threading.Event()

    def flood() -> None:
        while not over.is_set():
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", worker.admin_port)) as sock,
            ):
                sock.settimeout(0.2)
                sock.sendall(b"GET /server-status HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
                sock.recv(65536)

    threads = [threading.Thread(target=flood) for _ in range(8)]
    for thread in threads:
        thread.start()
    served = clients.served
    for _ in range(10):
        assert worker.admin("/healthz")[0] == worker.admin("/readyz")[0] == 200
        time.sleep(0.1)
    worker.await_board(lambda _: clients.served > served)
    over.set()
    for thread in threads:
        thread.join(60)
    clients.stop()
    assert clients.failures == []


def _admin(worker) -> socket.socket:
    return socket.create_connection(("127.0.0.1", worker.admin_port), timeout=60)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_under_the_access_log_stops_no_request(start, hammer, mpm: str, small_disk: Path) -> None:
    log = small_disk / "access.log"
    worker = start("--mpm", mpm, "--processes", "2", "--threads", "2", "--access-log", str(log))
    clients = hammer(worker.port, 3)

    def lines_are_missed() -> bool:
        """Lines are gathered before they are written: all may have been in memory while the disk was full."""
        worker.await_board(lambda _: log.stat().st_size >= 60 << 10)
        served = clients.served
        worker.await_board(lambda _: clients.served > served + 200)
        log.write_bytes(b"")  # there is room again
        worker.await_board(lambda _: log.stat().st_size >= 20 << 10)
        return b"lines were lost here" in log.read_bytes()

    assert any(lines_are_missed() for _ in range(10))
    clients.stop()
    assert clients.failures == []


def test_who_comes_while_there_is_no_descriptor_waits(start, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "1", "--threads", "8" if mpm != "prefork" else "1")
    (pid,) = pids(worker)
    used = len(os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 4, used + 4))
    socks = []
    for _ in range(12):
        sock = worker.connect()
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        socks.append(sock)
    idle = [worker.connect() for _ in range(6)]  # each holds what it gets until it goes
    for sock in idle:
        sock.close()
    for sock in socks:
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        sock.close()
    assert worker.get()[0] == 200
    assert pids(worker) == {pid}


@pytest.mark.parametrize("model", ["worker", "event"])
def test_a_process_without_a_descriptor_says_so_once(start, model: str) -> None:
    worker = start("--mpm", model, "--processes", "1", "--threads", "8")
    (pid,) = pids(worker)
    used = len(os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 4, used + 4))
    held = [worker.connect() for _ in range(8)]
    words = f"server {pid} cannot accept a connection, so they wait: Too many open files"
    worker.await_line(words)
    for sock in held:
        sock.close()
    assert worker.get()[0] == 200
    assert sum(words in line for line in worker.said) == 1


def test_a_thousand_slow_clients_keep_nobody_from_being_served(start, hammer) -> None:
    worker = start("--mpm", "event", "--processes", "1", "--threads", "4", "--timeout", "4")
    slow = []
    for number in range(1000):
        sock = worker.connect()
        sock.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\nA: b"[: 5 + number % 20])
        slow.append(sock)
    clients = hammer(worker.port, 2, keep_alive=False)
    for sock in slow[::50]:
        with contextlib.suppress(OSError):
            sock.sendall(b"c")
    refused = 0
    for sock in slow:
        sock.settimeout(60)
        refused += sock.recv(4096).startswith(b"HTTP/1.1 408")
        sock.close()
    clients.stop()
    assert refused == len(slow)
    assert clients.failures == []
    assert clients.served > 20


REQUESTS = (GET, b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123456789", GET + GET)


def test_a_reset_at_any_byte_leaves_nothing_behind(shared, mpm: str) -> None:
    worker = shared("--mpm", mpm, "--processes", "1", "--threads", "4" if mpm != "prefork" else "1")
    (pid,) = pids(worker)
    used = len(os.listdir(f"/proc/{pid}/fd"))
    for request in REQUESTS:
        for end in range(len(request) + 1):
            with worker.connect() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                sock.sendall(request[:end])
    worker.await_board(
        lambda board: (
            not (board["connections"]["open"] or board["workers"]["busy"] or board["workers"]["queue"])
        ),
        seconds=30,
    )
    assert worker.get()[0] == 200
    worker.await_board(lambda _: len(os.listdir(f"/proc/{pid}/fd")) <= used)
    assert pids(worker) == {pid}


@pytest.mark.parametrize("mpm", ["event", "worker"])
def test_connections_opened_and_dropped_leak_nothing(start, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "1", "--threads", "4")
    (pid,) = pids(worker)
    _open_and_drop(worker.port, 1000)
    worker.await_board(lambda board: board["connections"]["open"] == 0)
    used, rss = len(os.listdir(f"/proc/{pid}/fd")), _rss(pid)
    _open_and_drop(worker.port, 9000)
    free = {"busy": 0, "idle": 4, "total": 4, "queue": 0}
    worker.await_board(lambda board: board["connections"]["open"] == 0 and board["workers"] == free)
    worker.await_board(lambda _: len(os.listdir(f"/proc/{pid}/fd")) <= used)
    assert _rss(pid) < rss + (4 << 20)
    assert worker.get()[0] == 200


def _open_and_drop(port: int, count: int) -> None:
    for number in range(count):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
            sock.sendall(GET[: number % len(GET)])


def _rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def test_an_application_that_writes_for_ever_stops_with_its_client(start, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "2", "--threads", "1", app="trouble:app")
    with worker.connect() as sock:
        sock.sendall(b"GET /forever HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(65536)
        worker.await_board(lambda board: board["workers"]["busy"] == 1)
        assert worker.get()[0] == 200
    worker.await_board(lambda board: board["workers"]["busy"] == 0)


def test_an_exception_after_the_head_is_seen_by_the_client(start, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "1", "--threads", "1", app="trouble:app")
    before = pids(worker)
    with pytest.raises(http.client.IncompleteRead):
        worker.get("/raise-late")
    worker.await_line("the other half is missing")
    assert worker.get()[0] == 200
    assert pids(worker) == before


def test_an_application_that_forks_and_leaves_disturbs_nothing(start, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "1", "--threads", "2", app="trouble:app")
    for _ in range(3):
        assert worker.get("/fork")[0] == 200
    assert worker.get()[0] == 200
    worker.await_board(lambda board: board["servers"] == 1 and board["workers"]["busy"] == 0)
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0


ORPHANS = """
import os

def app(environ, start_response):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(7)   # its parent is gone, or about to be: process 1 inherits it
        os._exit(0)
    os.wait()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a new namespace of processes needs root")
def test_process_1_reaps_orphans(tmp_path: Path) -> None:
    (tmp_path / "orphans.py").write_text(ORPHANS)
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-P", "-m"]
    options = ["--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--processes", "1", "--threads", "2"]
    process = subprocess.Popen(
        [*command, "mpm_worker", *options, "--chdir", tmp_path, "orphans:app"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "listening on" in line)
        port = int(line.split("http://127.0.0.1:")[1].split(",")[0])
        for _ in range(5):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"ok"
            connection.close()
        (first,) = _children(process.pid)
        end = time.monotonic() + 60
        while any(_state(pid) == "Z" for pid in _children(first)):
            assert time.monotonic() < end
            time.sleep(0.05)
        os.kill(first, signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(60)
        process.stderr.close()


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


# libfaketime 0.9.10 also touches clock_nanosleep(2), so that time.sleep() of Python 3.11 fails by EINVAL.
WALL_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long offset(void) {
    long seconds = 0;
    FILE *file = fopen(getenv("WALL_CLOCK_OFFSET"), "re");
    if (file) { if (fscanf(file, "%ld", &seconds) != 1) seconds = 0; fclose(file); }
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, now);
    if (!status && clock == CLOCK_REALTIME) now->tv_sec += offset();
    return status;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
"""


@pytest.fixture(scope="module")
def wall_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that moves the wall clock by what the file of WALL_CLOCK_OFFSET says (seconds)."""
    packages.ensure({"gcc": "/usr/bin/gcc", "libc6-dev": "/usr/include/time.h"}, "the test of the clock")
    folder = tmp_path_factory.mktemp("wall-clock")
    (folder / "clock.c").write_text(WALL_CLOCK)
    library = folder / "clock.so"
    subprocess.run(
        ["/usr/bin/gcc", "-shared", "-fPIC", "-o", library, folder / "clock.c", "-ldl"], check=True
    )
    return library


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_clock_that_jumps_moves_nothing(
    start, hammer, tmp_path, monkeypatch, wall_clock: Path, mpm: str, jump: int
) -> None:
    offset, log = tmp_path / "offset", tmp_path / "access.log"
    offset.write_text("0")
    monkeypatch.setenv("LD_PRELOAD", str(wall_clock))
    monkeypatch.setenv("WALL_CLOCK_OFFSET", str(offset))
    worker = start(
        *("--mpm", mpm, "--processes", "2", "--threads", "2", "--keep-alive-timeout", "30"),
        *("--request-timeout", "30", "--access-log", str(log)),
    )
    monkeypatch.delenv("LD_PRELOAD")
    before, watch = pids(worker), worker.watch()
    uptime = watch.line()["uptimeMs"]
    clients = hammer(worker.port, 1)
    with worker.connect() as sock:
        sock.sendall(GET)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        offset.write_text(str(jump))
        hours = {time.strftime("%Y:%H:", time.localtime(time.time() + jump + more)) for more in (0, 60)}
        worker.await_board(lambda _: any(hour in log.read_text() for hour in hours))
        lines = [watch.line() for _ in range(3)]
        sock.sendall(GET)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
    watch.close()
    assert worker.call("POST", "/control/quiesce", {"ttlSeconds": 30})[0] == 200
    assert worker.call("POST", "/control/resume")[0] == 200
    clients.stop()
    assert clients.failures == []
    assert 0 < lines[-1]["uptimeMs"] - uptime < 60_000
    assert pids(worker) == before
