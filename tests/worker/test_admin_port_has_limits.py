"""How much one client of the admin port can take: streams, answers not read, errors."""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from mpm_worker.addresses import open_listeners
from mpm_worker.admin import Admin, Answer

if TYPE_CHECKING:
    import pytest

    from mpm_worker.http import Request

WATCH = b"GET /scoreboard?watch HTTP/1.1\r\nHost: x\r\n\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def connect(worker) -> socket.socket:
    return socket.create_connection(("127.0.0.1", worker.admin_port), timeout=60)


def rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def test_streams_are_few_and_a_place_that_is_given_back_can_be_had(start) -> None:
    worker = start("--threads", "1", "--processes", "1")
    streams = []
    for _ in range(64):
        streams.append(connect(worker))
        streams[-1].sendall(WATCH)
        assert streams[-1].recv(4096).startswith(b"HTTP/1.1 200")
    with connect(worker) as late:
        late.sendall(WATCH)
        answer = late.recv(4096)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"64 streams are open already" in answer
        late.sendall(HEALTH)  # it was refused a stream, nothing else
        assert late.recv(4096).endswith(b"ok\n")
    streams.pop().close()

    def admitted(_: object) -> bool:
        sock = connect(worker)
        streams.append(sock)
        sock.sendall(WATCH)
        return sock.recv(4096).startswith(b"HTTP/1.1 200")

    worker.await_board(admitted)
    for sock in streams:
        sock.close()


def test_who_does_not_read_is_not_answered_in_advance(start) -> None:
    worker = start("--threads", "1", "--processes", "1")
    before = rss(worker.process.pid)
    with connect(worker) as deaf:
        deaf.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 64 << 20:
                sent += deaf.send(HEALTH * 1000)
        for _ in range(5):
            assert worker.admin("/healthz")[0] == 200
        assert rss(worker.process.pid) < before + (8 << 20)
        deaf.settimeout(60)
        answered = 0
        while answered < 2000:  # who reads at last gets its answers, in order and whole
            answered += deaf.recv(65536).count(b"200 OK")


def test_a_fault_of_a_page_is_one_answer(capfd: pytest.CaptureFixture[str]) -> None:
    def handle(request: Request, body: bytes) -> Answer:
        if request.path == "/fault":
            raise LookupError("a defect")
        return Answer(b"well\n")

    listeners = open_listeners(("127.0.0.1:0",), "--admin", seats=1, backlog=8)
    port = int(listeners.address.rpartition(":")[2])
    over = threading.Event()
    with selectors.DefaultSelector() as selector:
        admin = Admin(listeners, selector, handle, "test")

        def loop() -> None:
            while not over.is_set():
                for key, mask in selector.select(0.05):
                    key.data(mask)
                admin.serve_parked()

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
                for path in (b"/fault", b"/metrics", b"/fault"):
                    sock.sendall(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
                    answer = sock.recv(4096)
                    assert answer.startswith(b"HTTP/1.1 500" if path == b"/fault" else b"HTTP/1.1 200")
        finally:
            over.set()
            thread.join(60)
            admin.close()
    assert "GET /fault on the admin port failed: LookupError('a defect')" in capfd.readouterr().err


def test_descriptors_of_dropped_clients_are_given_back(start) -> None:
    worker = start("--threads", "1", "--processes", "1")
    used = len(os.listdir(f"/proc/{worker.process.pid}/fd"))
    for _ in range(600):
        with connect(worker) as sock:
            sock.sendall(HEALTH[:9])
    worker.await_board(lambda _: len(os.listdir(f"/proc/{worker.process.pid}/fd")) <= used + 2)
