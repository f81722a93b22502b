"""`/server-status` as httpd's readers expect it, and `/metrics` in Prometheus' conventions."""

from __future__ import annotations

import json
import re
import socket

import pytest

from mpm_worker.status import duration, plain

COMMON = """
ServerVersion, ServerMPM, Server Built, CurrentTime, RestartTime, ParentServerConfigGeneration,
ParentServerMPMGeneration, ServerUptimeSeconds, ServerUptime, Load1, Load5, Load15,
Total Accesses, Total kBytes, Total Duration,
CPUUser, CPUSystem, CPUChildrenUser, CPUChildrenSystem, CPULoad,
Uptime, ReqPerSec, BytesPerSec, BytesPerReq, DurationPerReq, BusyWorkers, GracefulWorkers, IdleWorkers"""
EVENT = """
Processes, Stopping, ConnsTotal, ConnsAsyncWaitIO, ConnsAsyncWriting, ConnsAsyncKeepAlive,
ConnsAsyncClosing"""


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


@pytest.fixture
def worker(shared, mpm: str):
    worker = shared("--mpm", mpm, "--processes", "2", "--threads", "3")
    for _ in range(5 - worker.scoreboard()["totals"]["accesses"]):
        worker.get("/size/3000")
    worker.await_board(lambda board: board["uptimeMs"] > 1000 and board["totals"]["accesses"] == 5)
    worker.await_board(lambda board: not (board["connections"]["open"] or board["workers"]["busy"]))
    return worker


def test_auto_has_httpds_fields_in_httpds_order(worker, mpm: str) -> None:
    status, headers, body = worker.admin("/server-status?auto")
    assert status == 200
    assert headers["Content-Type"] == "text/plain; charset=ISO-8859-1"
    assert "Apache" in headers["Server"]
    first, *lines = body.decode().splitlines()
    assert first == socket.gethostname()
    assert ":" not in first  # telegraf would take 127.0.0.1:8080 for a field with a number
    wanted = names(COMMON) + (names(EVENT) if mpm == "event" else []) + ["Scoreboard"]
    assert [line.split(": ")[0] for line in lines] == wanted
    fields = dict(line.split(": ") for line in lines)
    assert re.fullmatch(r"mpm-worker/\d+\.\d+\.\d+ .*", fields["ServerVersion"])
    assert fields["ServerMPM"] == mpm
    assert re.fullmatch(r"\w+, \d\d-\w{3}-\d{4} \d\d:\d\d:\d\d \S+", fields["CurrentTime"])
    assert fields["Total Accesses"] == "5"
    assert fields["Total kBytes"] == str(15000 // 1024)
    assert fields["BytesPerReq"] == "3000"
    slots = 2 if mpm == "prefork" else 6
    assert fields["IdleWorkers"] == str(slots)
    assert fields["Scoreboard"] == "_" * slots
    for name in ("CPUUser", "CPULoad", "ReqPerSec", "BytesPerSec", "DurationPerReq", "Load1"):
        assert re.fullmatch(r"\d*\.?\d+", fields[name]), (name, fields[name])


def test_html_with_key_table_and_refresh(worker) -> None:
    _, headers, body = worker.admin("/server-status?refresh=7")
    assert headers["Refresh"] == "7"
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    page = body.decode()
    assert "Scoreboard Key" in page
    assert f"Server Status for {socket.gethostname()} (via 127.0.0.1:{worker.port})" in page
    assert "<th>Request</th>" in page
    assert "<th>Request</th>" not in worker.admin("/server-status?notable")[2].decode()
    assert ("Async connections" in page) == (worker.scoreboard()["mpm"] == "event")
    for process in worker.scoreboard()["processes"]:
        assert f"<td>{process['pid']}</td>" in page
    assert json.loads(worker.admin("/server-status?json")[2])["totals"]["accesses"] == 5
    assert worker.admin("/server-status?refresh")[1]["Refresh"] == "10"
    assert worker.admin("/server-status?refresh=nan")[1]["Refresh"] == "10"


def test_who_asks_for_the_head_of_the_stream_gets_no_lines(worker) -> None:
    """What follows on the connection is the answer to the next request."""
    with socket.create_connection(("127.0.0.1", worker.admin_port), timeout=60) as sock:
        sock.sendall(b"HEAD /scoreboard?watch HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = b""
        while piece := sock.recv(65536):
            text += piece
    first, second, body = text.split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"application/x-ndjson" in first
    assert second.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b"ok\n"


def test_metrics_follow_the_conventions(worker) -> None:
    _, headers, body = worker.admin("/metrics")
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    kinds: dict[str, str] = {}
    helped: set[str] = set()
    values: dict[str, float] = {}
    for line in body.decode().splitlines():
        if line.startswith("# HELP "):
            helped.add(line.split()[2])
        elif line.startswith("# TYPE "):
            kinds[line.split()[2]] = line.split()[3]
        else:
            sample, value = line.rsplit(" ", 1)
            name = re.sub(r"_(bucket|sum|count)$", "", sample.partition("{")[0])
            assert name in helped
            assert name.endswith("_total") == (kinds[name] == "counter")
            assert sample not in values
            values[sample] = float(value)
    slots = values['apache_workers{state="idle"}']
    assert values["apache_accesses_total"] == 5
    assert values['apache_scoreboard{state="idle"}'] == slots
    assert values["mpm_workers_busy_ratio"] == 0
    assert {'mpm_worker_info{hot_path="compiled"}', 'mpm_worker_info{hot_path="pure Python"}'} & set(values)
    assert values["mpm_queue_depth"] == 0
    assert values["mpm_cpu_seconds_total"] > 0
    assert values["mpm_request_duration_seconds_count"] == 5
    assert values['mpm_request_duration_seconds_bucket{le="+Inf"}'] == 5
    assert 0 < values["mpm_request_duration_seconds_sum"] < 60
    assert values['mpm_server_proportional_memory_bytes{server="0"}'] > 1 << 20


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (0.0262535, ".0262535"),
        (0.1469307, ".146931"),
        (178.2751, "178.275"),
        (1213.333, "1213.33"),
        (7.8e-06, ".0000078"),
        (18.02, "18.02"),
        (12345678.9, "12345679"),
        (5, "5"),
        (1000000, "1000000"),
    ],
)
def test_numbers_are_plain_decimals(number: float, text: str) -> None:
    assert plain(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (189613, "2 days 4 hours 40 minutes 13 seconds"),
        (3600, "1 hour"),
        (61, "1 minute 1 second"),
        (86400 + 1, "1 day 1 second"),
    ],
)
def test_uptime_in_words(seconds: int, text: str) -> None:
    assert duration(seconds) == text
