"""What the logs say of refused and failed requests, and when it was."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

APPS = Path(__file__).parent / "apps"


def test_the_bytes_of_every_answer_are_those_of_its_content(start, tmp_path, mpm: str) -> None:
    log = tmp_path / "log"
    # One slot, so that the lines come in the order of the requests.
    options = ("--mpm", mpm, "--processes", "1", "--threads", "1")
    options += ("--access-log", str(log), "--access-log-format", "json")
    worker = start(*options, app="told:app")
    lengths = []
    for request in (
        b"GET /fail HTTP/1.1\r\nHost: x\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HEAD /fail HTTP/1.0\r\n\r\n",
    ):
        with (
            socket.create_connection(("127.0.0.1", worker.port), timeout=60) as sock,
            sock.makefile("rb") as file,
        ):
            sock.sendall(request)
            lengths.append(len(file.read().partition(b"\r\n\r\n")[2]))
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    assert [json.loads(line)["bytes"] for line in log.read_text().splitlines()] == lengths
    assert lengths[0] > 0
    assert lengths[1] > 0
    assert lengths[2] == 0


def test_a_refused_request_has_a_name_of_its_own(start, tmp_path, mpm: str) -> None:
    log = tmp_path / "log"
    options = ("--mpm", mpm, "--processes", "1", "--access-log", str(log), "--access-log-format", "json")
    worker = start(*options, "--trusted-proxies", "127.0.0.1", app="told:app")
    proxy = b"Host: x\r\nX-Forwarded-For: 192.0.2.7\r\nX-Request-ID: first\r\n\r\n"
    with socket.create_connection(("127.0.0.1", worker.port), timeout=60) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n" + proxy)
        assert b"200 OK" in sock.recv(65536)
        sock.sendall(b"nonsense\r\n\r\n")
        with sock.makefile("rb") as file:
            assert b"400 Bad Request" in file.read()
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    served, refused = [json.loads(line) for line in log.read_text().splitlines()]
    assert (served["client"], served["id"]) == ("192.0.2.7", "first")
    assert refused["client"] == "127.0.0.1"
    assert refused["id"].endswith("-1"), "the second request of its connection"


def test_a_body_that_cannot_be_stored_is_told_with_its_request(start, tmp_path, mpm: str) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    worker = start("--mpm", mpm, "--spool-threshold", "10", "--spool-dir", str(folder), app="told:app")
    folder.rmdir()
    with socket.create_connection(("127.0.0.1", worker.port), timeout=60) as sock:
        sock.sendall(
            b"POST /hash?1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n100\r\n" + b"x" * 256
        )
        assert b"507 Insufficient Storage" in sock.recv(65536)
    worker.await_line(r"\[\S+\] POST /hash\?1: a request body of \d+ bytes so far could not be stored")


def test_lines_of_an_error_log_in_a_file_begin_with_the_time(tmp_path) -> None:
    path = tmp_path / "errors"
    options = ("--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--chdir", str(APPS), "told:app")
    with path.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-P", "-m", "mpm_worker", *options], stderr=file)
    try:
        port = int(_await(path, r"listening on http://127\.0\.0\.1:(\d+)")[1])
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request("GET", "/fail")
            assert connection.getresponse().status == 500
        when = r"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
        _await(path, rf"{when} mpm-worker starting told:app")
        _await(path, rf"{when} \[\S+\] GET /fail: the application failed")
    finally:
        process.terminate()
        process.wait(60)


def _await(path: Path, pattern: str) -> re.Match[str]:
    end = time.monotonic() + 60
    while (match := re.search(pattern, path.read_text())) is None:
        assert time.monotonic() < end, path.read_text()
        time.sleep(0.05)
    return match
