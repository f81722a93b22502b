"""Bodies on their way: they cost Event no slot, memory nowhere; a full disk costs only themselves."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from stalls import StoodStill, sleep_and_watch, when_steady

PLAIN = b"POST /%b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunks(body: bytes, size: int = 50_000) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def answer(sock: socket.socket) -> tuple[int, Any]:
    """Status and document of one response."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = sock.recv(65536)
        assert data, received
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += sock.recv(65536)
    status = int(head.split()[1])
    return status, json.loads(body) if status == 200 else body.decode()


def uploads(start: Any, mpm: str, *arguments: str) -> Any:
    return start("--mpm", mpm, "--processes", "1", *arguments, app="uploads:app")


def child_of(worker: Any) -> int:
    return int(worker.scoreboard()["processes"][0]["pid"])


def peak_memory(pid: int) -> int:
    """Bytes of memory that were resident at most (VmHWM)."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in line]
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("coding", ["chunked", "length"])
def test_a_large_upload_arrives_whole_and_not_in_memory(
    start: Any, mpm: str, coding: str, tmp_path: Path
) -> None:
    (spools := tmp_path / "spools").mkdir()
    worker = uploads(start, mpm, "--threads", "2", "--spool-dir", str(spools))
    pid = child_of(worker)
    body = os.urandom(1 << 20) * 40
    with worker.connect() as sock:
        for _ in range(2):  # the connection goes on
            before = peak_memory(pid)
            sock.sendall(CHUNKED + chunks(body) if coding == "chunked" else PLAIN % (b"", len(body)) + body)
            status, told = answer(sock)
            assert (status, told["sha256"]) == (200, hashlib.sha256(body).hexdigest())
            assert (told["length"], told["chunked"]) == (str(len(body)), False)
            assert peak_memory(pid) - before < 8 << 20
    assert list(spools.iterdir()) == []


def test_uploads_on_their_way_cost_event_no_slot(start: Any) -> None:
    worker = uploads(start, "event", "--threads", "2")
    body = os.urandom(400_000)
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(worker.connect()) for _ in range(20)]
        for number, sock in enumerate(socks):
            stream = CHUNKED + chunks(body) if number % 2 else PLAIN % (b"", len(body)) + body
            sock.sendall(stream[:-10])
        worker.await_board(lambda board: board["connections"]["reading"] == 20)
        assert worker.scoreboard()["workers"] == {"busy": 0, "idle": 2, "total": 2, "queue": 0}
        assert worker.get("/", method="POST", body=b"x")[0] == 200
        for number, sock in enumerate(socks):
            sock.sendall((chunks(body) if number % 2 else body)[-10:])
            assert answer(sock)[1]["sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("start_of_body", [PLAIN % (b"", 100) + b"abc", CHUNKED + b"64\r\nabc", b"POST / HT"])
def test_clients_that_stop_in_the_middle_do_not_take_the_slots(start: Any, start_of_body: bytes) -> None:
    """Some of a known length may take some slots, since the application may have something to say first."""
    worker = uploads(start, "event", "--threads", "4", "--timeout", "4")
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(worker.connect()) for _ in range(300)]
        for sock in socks:
            sock.sendall(start_of_body)
        end = time.monotonic() + 3.5  # beyond the patience of the loop
        while time.monotonic() < end:
            assert worker.get("/", method="POST", body=b"x")[0] == 200
            time.sleep(0.2)
        for sock in socks:
            assert answer(sock)[0] == 408


@when_steady
def test_an_upload_that_trickles_is_a_408(start: Any) -> None:
    worker = uploads(start, "event", "--threads", "1", "--timeout", "4", "--spool-threshold", "10")
    with worker.connect() as sock:
        sock.sendall(PLAIN % (b"", 1_000_000) + b"x" * 11)
        sock.settimeout(0.3)
        sent, longest = time.monotonic(), 0.0
        for _ in range(100):  # always something within the timeout, but never 500 bytes a second
            longest, sent = max(longest, time.monotonic() - sent), time.monotonic()
            try:
                if sock.recv(1, socket.MSG_PEEK):
                    break
            except TimeoutError:
                sock.sendall(b"x")
        longest = max(longest, time.monotonic() - sent)
        sock.settimeout(60)
        status, text = answer(sock)
        if longest > 3:
            raise StoodStill
        assert (status, "slower than 500 bytes a second" in text) == (408, True)


@when_steady
def test_a_short_body_that_comes_steadily_is_taken(start: Any) -> None:
    """Longer than the timeout, at more than 500 bytes a second, while no slot is to spare for it."""
    worker = uploads(start, "event", "--threads", "1", "--timeout", "3")
    with worker.connect() as sock:
        sock.sendall(PLAIN % (b"", 4000))
        for _ in range(20):
            sock.sendall(b"x" * 200)
            if sleep_and_watch(0.2) > 2:
                raise StoodStill
        assert answer(sock)[0] == 200


def test_the_access_log_names_the_request_of_a_refused_upload(start: Any, mpm: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    worker = uploads(start, mpm, "--threads", "1", "--access-log", str(log))
    with worker.connect() as sock:
        sock.sendall(CHUNKED.replace(b"POST /", b"POST /broken?a=b") + b"not a size\r\n")
        assert answer(sock)[0] == 400
    for _ in range(1000):
        if '"POST /broken?a=b HTTP/1.1" 400 ' in log.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
@pytest.mark.parametrize("coding", ["chunked", "length"])
def test_an_upload_under_way_outlives_its_process(start: Any, mpm: str, number: int, coding: str) -> None:
    """A restart and the end wait for it, as for any request."""
    worker = uploads(start, mpm, "--threads", "2", "--spool-threshold", "1000")
    pid = child_of(worker)
    body = b"x" * 300_000
    stream = CHUNKED + chunks(body) if coding == "chunked" else PLAIN % (b"", len(body)) + body
    with worker.connect() as sock:
        sock.sendall(stream[:-1000])
        worker.await_board(lambda board: board["connections"]["open"] or board["workers"]["busy"])
        worker.signal(number)
        if number == signal.SIGHUP:
            worker.await_board(
                lambda board: any(each["pid"] != pid and not each["retiring"] for each in board["processes"])
            )
        else:
            worker.await_board(lambda board: board["state"] == "Stopping")
        time.sleep(0.3)
        sock.sendall(stream[-1000:])
        status, told = answer(sock)
        assert (status, told["size"]) == (200, 300_000)
    if number == signal.SIGTERM:
        assert worker.exit_code() == 0


def test_an_application_may_answer_before_a_body_comes(start: Any) -> None:
    worker = uploads(start, "event", "--threads", "2")
    with worker.connect() as sock:
        sock.sendall(PLAIN % (b"early", 1_000_000))
        assert answer(sock) == (200, "not read")


@pytest.mark.parametrize("fate", ["end", "reset", "broken"])
def test_an_upload_that_breaks_off_leaves_nothing_behind(
    start: Any, mpm: str, fate: str, tmp_path: Path
) -> None:
    worker = uploads(start, mpm, "--threads", "2", "--spool-threshold", "10", "--spool-dir", str(tmp_path))
    assert worker.get()[0] == 200
    pid = child_of(worker)
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    for _ in range(3):
        with worker.connect() as sock:
            sock.sendall(CHUNKED + b"20\r\n" + b"x" * 20)
            time.sleep(0.05)  # so that it comes in two pieces
            if fate == "broken":
                sock.sendall(b"x" * 20 + b"\r\n0\r\n\r\n")
                assert answer(sock)[0] == 400
            elif fate == "end":
                sock.shutdown(socket.SHUT_WR)
                assert answer(sock)[0] == 400
            else:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    worker.await_board(lambda board: board["workers"]["busy"] == 0 and board["connections"]["open"] == 0)
    assert len(os.listdir(f"/proc/{pid}/fd")) <= descriptors
    assert worker.get()[0] == 200
    assert not any("Traceback" in line for line in worker.said)


def test_a_full_disk_is_a_507_and_nothing_else_breaks(start: Any, mpm: str) -> None:
    """As large as a file may get: the write fails as it does on a full disk."""
    worker = uploads(start, mpm, "--threads", "2", "--spool-threshold", "1000")
    pid = child_of(worker)
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
    body = b"x" * 200_000
    with worker.connect() as sock:
        sock.sendall(CHUNKED + chunks(b"x" * 9000))
        assert answer(sock)[1]["size"] == 9000
    with worker.connect() as sock:
        sock.sendall(CHUNKED + chunks(body)[:100_000])
        status, text = answer(sock)
        assert (status, text) == (507, f"507 Insufficient Storage: {text.partition(': ')[2]}")
        assert "/tmp" not in text
    worker.await_line(r"could not be stored in \S+ \(--spool-dir\): File too large")
    assert worker.get()[0] == 200
    resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
    with worker.connect() as sock:
        sock.sendall(CHUNKED + chunks(body))
        assert answer(sock)[1]["size"] == 200_000
    assert child_of(worker) == pid


def test_without_a_folder_to_write_to_only_long_chunked_bodies_need_one(
    start: Any, mpm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "/no/such/folder")
    worker = uploads(start, mpm, "--threads", "2")
    for stream, size in (
        (PLAIN % (b"", 400_000) + b"x" * 400_000, 400_000),
        (CHUNKED + chunks(b"x" * 9000), 9000),
    ):
        with worker.connect() as sock:
            sock.sendall(stream)
            assert answer(sock)[1]["size"] == size
    with worker.connect() as sock:
        sock.sendall(CHUNKED + chunks(b"x" * 400_000)[:200_000])
        assert answer(sock)[0] == 507
    worker.await_line(r"could not be stored in /no/such/folder \(--spool-dir\): No such file or directory")


def test_without_buffering_a_chunked_body_is_lazy_and_has_no_length(start: Any, mpm: str) -> None:
    worker = uploads(start, mpm, "--threads", "2", "--request-buffering", "off")
    with worker.connect() as sock:
        sock.sendall(CHUNKED.replace(b"POST /", b"POST /early"))
        assert answer(sock) == (200, "not read")
    with worker.connect() as sock:
        sock.sendall(CHUNKED + chunks(b"x" * 300_000))
        told = answer(sock)[1]
        assert (told["size"], told["length"], told["chunked"]) == (300_000, None, True)


def test_requests_behind_an_upload_are_answered_in_order(start: Any, mpm: str) -> None:
    worker = uploads(start, mpm, "--threads", "2", "--spool-threshold", "1000")
    sizes = [5000, 10, 999_999, 0, 3]
    with worker.connect() as sock:
        sock.sendall(b"".join(CHUNKED + chunks(b"x" * size) for size in sizes))
        assert [answer_of(sock)["size"] for _ in sizes] == sizes


def answer_of(sock: socket.socket) -> Any:
    """As `answer`, but takes no byte of the next one."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    body = b""
    while len(body) < length:
        body += sock.recv(length - len(body))
    return json.loads(body)
