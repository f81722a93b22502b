"""The access log's formats, and the one name of a request in all logs."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpm_worker.accessformat import More, as_json, combined, common

if TYPE_CHECKING:
    from pathlib import Path

KEYS = [
    "time",
    "client",
    "request",
    "status",
    "bytes",
    "seconds",
    "queued",
    "slot",
    "id",
    "host",
    "referer",
    "agent",
]


def ask(port: int, path: str, **headers: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request(
            "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        response = connection.getresponse()
        response.read()
        return response.status


def end(worker, log: Path) -> list[str]:
    """The lines; with one slot they come in the order of the requests."""
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    return log.read_text().splitlines()


def objects(lines: list[str]) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in lines]
    assert all(list(each) == KEYS for each in found)
    return found


def test_json_has_everything(start, tmp_path, mpm: str) -> None:
    log = tmp_path / "log"
    options = ("--mpm", mpm, "--processes", "1", "--threads", "1", "--access-log", str(log))
    worker = start(*options, "--access-log-format", "json")
    ask(worker.port, "/sleep/0.2?a=%22", Referer="http://a/", User_Agent='say "hi"\\')
    with socket.create_connection(("127.0.0.1", worker.port), timeout=60) as sock:
        sock.sendall(b"nonsense\r\n\r\n")
        sock.recv(1000)
    first, second = objects(end(worker, log))
    assert first["client"] == second["client"] == "127.0.0.1"
    assert (first["request"], first["status"], first["bytes"]) == ("GET /sleep/0.2?a=%22 HTTP/1.1", 200, 6)
    assert 0.2 <= first["seconds"] < 60
    assert (first["referer"], first["agent"]) == ("http://a/", 'say "hi"\\')
    assert first["host"] == f"127.0.0.1:{worker.port}"
    assert re.fullmatch(r"\d+-0", first["slot"])
    assert abs(time.time() - _seconds(first["time"])) < 60
    assert (second["request"], second["status"]) == ("-", 400)
    assert first["id"] != second["id"]


def _seconds(stamp: str) -> float:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp)
    import calendar

    return calendar.timegm(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S"))


def test_the_wait_for_a_slot_is_told(start, gate, tmp_path) -> None:
    log = tmp_path / "log"
    options = ("--mpm", "event", "--processes", "1", "--threads", "1", "--async-request-worker-factor", "10")
    worker = start(*options, "--access-log", str(log), "--access-log-format", "json")
    with closing(http.client.HTTPConnection("127.0.0.1", worker.port, timeout=60)) as second:
        second.connect()  # accepted while a slot is idle
        second.request("GET", "/")
        second.getresponse().read()
        worker.await_idle()
        first = threading.Thread(target=ask, args=(worker.port, gate.path))
        first.start()
        worker.await_board(lambda board: board["workers"]["busy"] == 1)
        began = time.monotonic()
        second.request("GET", "/size/7")
        worker.await_board(lambda board: board["workers"]["queue"] == 1)
        time.sleep(1.5)
        gate.open()
        second.getresponse().read()
        first.join(60)
    waited = next(each for each in objects(end(worker, log)) if each["request"].startswith("GET /size/7"))
    assert waited["queued"] >= 1.5
    assert waited["queued"] + waited["seconds"] <= time.monotonic() - began, "the wait was counted twice"


def test_combined_ends_with_referer_and_agent(start, tmp_path) -> None:
    log = tmp_path / "log"
    worker = start("--threads", "1", "--access-log", str(log), "--access-log-format", "combined")
    ask(worker.port, "/size/3", Referer="http://a/", User_Agent='say "hi"')
    ask(worker.port, "/size/3")
    first, second = end(worker, log)
    assert first.endswith(' "GET /size/3 HTTP/1.1" 200 3 "http://a/" "say \\"hi\\""')
    assert second.endswith(' "GET /size/3 HTTP/1.1" 200 3 "-" "-"')


def test_an_error_has_the_name_of_its_request(start, tmp_path, mpm: str) -> None:
    log = tmp_path / "log"
    options = ("--mpm", mpm, "--processes", "1", "--threads", "1", "--access-log", str(log))
    worker = start(*options, "--access-log-format", "json", app="told:app")
    with closing(http.client.HTTPConnection("127.0.0.1", worker.port, timeout=60)) as connection:
        connection.request("GET", "/")
        connection.getresponse().read()
        connection.request("GET", "/fail")
        assert connection.getresponse().status == 500
    ask(worker.port, "/fail", X_Request_ID="from-a-stranger")
    names = [each["id"] for each in objects(end(worker, log))]
    assert len(set(names)) == 3
    errors = [line for line in worker.said if "GET /fail: the application failed" in line]
    assert [line.partition("]")[0][1:] for line in errors] == names[1:]


def test_a_trusted_proxy_names_the_request(start, tmp_path, mpm: str) -> None:
    log = tmp_path / "log"
    options = ("--mpm", mpm, "--processes", "1", "--threads", "1", "--access-log", str(log))
    worker = start(*options, "--access-log-format", "json", "--trusted-proxies", "127.0.0.1", app="told:app")
    ask(worker.port, "/fail", X_Request_ID="7f-abc")
    ask(worker.port, "/", X_Request_ID='7f" "forged')
    ask(worker.port, "/")
    names = [each["id"] for each in objects(end(worker, log))]
    assert names[0] == "7f-abc"
    assert len(set(names)) == 3
    assert "forged" not in names[1]
    worker.await_line(r"\[7f-abc\] GET /fail: the application failed")


@pytest.mark.parametrize("make", [common, combined, as_json])
@given(st.text(), st.text(), st.text(), st.text())
def test_nothing_a_client_sends_ends_a_line_or_a_field(
    make, line: str, agent: str, referer: str, host: str
) -> None:
    text = make("192.0.2.7", line, 200, 5, More(referer, agent, host, 0.5, 0.0, "0-1", "a-1"))
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1
    if make is as_json:
        read = json.loads(text)
        assert (read["request"], read["agent"], read["referer"], read["host"]) == (line, agent, referer, host)
    else:
        fields = r' "(?:[^"\\]|\\.)*"' * (2 if make is combined else 0)
        assert re.fullmatch(rf'192\.0\.2\.7 - - \[[^\]]+\] "(?:[^"\\]|\\.)*" 200 5{fields}\n', text)
