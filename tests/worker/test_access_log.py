"""The access log: common log format, one line a request, nothing a client can write into it."""

from __future__ import annotations

import re
import signal


def test_a_log_is_rotated_by_moving_it_and_hup(start, tmp_path, mpm: str) -> None:
    log, old = tmp_path / "access.log", tmp_path / "access.log.1"
    worker = start("--mpm", mpm, "--processes", "2", "--threads", "2", "--access-log", str(log))
    worker.get("/size/1")
    log.rename(old)
    worker.signal(signal.SIGHUP)
    worker.await_board(
        lambda board: board["servers"] == 2 and all(each["generation"] == 1 for each in board["processes"])
    )
    worker.get("/size/2")
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    assert [" /size/1 " in line for line in old.read_text().splitlines()] == [True]
    assert [" /size/2 " in line for line in log.read_text().splitlines()] == [True]


def test_a_line_for_each_request(start, tmp_path, mpm: str) -> None:
    log = tmp_path / "access.log"
    worker = start("--mpm", mpm, "--processes", "2", "--threads", "2", "--access-log", str(log))
    for _ in range(3):
        worker.get("/size/10?a=1")
    with worker.connect() as sock:
        sock.sendall(b'GET /a"b\\c HTTP/1.1\r\nHost: x\r\n\r\n')
        sock.recv(4096)
        sock.sendall(b"nonsense\r\n\r\n")
        sock.recv(4096)
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    lines = log.read_text().splitlines()
    stamp = r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
    assert (
        len(
            [
                line
                for line in lines
                if re.fullmatch(rf'127\.0\.0\.1 - - {stamp} "GET /size/10\?a=1 HTTP/1\.1" 200 10', line)
            ]
        )
        == 3
    )
    assert any(re.search(r'" 400 ', line) for line in lines)
    for line in lines:
        assert re.fullmatch(rf'\S+ - - {stamp} "(?:[^"\\]|\\.)*" \d{{3}} (?:\d+|-)', line), line
