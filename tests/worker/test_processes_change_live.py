"""Processes, the limit of a request's time and that of memory change while clients come and go."""

from __future__ import annotations

import os
import signal
import time

import pytest

from mpm_worker.options import load

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def staying(board) -> set[int]:
    return {process["pid"] for process in board["processes"] if not process["retiring"]}


def has(servers: int):
    """The scoreboard shows so many processes, all with their slots, and none on its way out."""

    def shown(board) -> bool:
        slots = servers * board["threadsPerChild"]
        counted = board["servers"] == servers and board["settings"]["processes"] == servers
        return counted and len(staying(board)) == servers and board["workers"]["total"] == slots

    return shown


def test_two_four_one_and_no_request_fails(start, hammer, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "2", "--threads", "4", "--keep-alive-timeout", "20")
    first = staying(worker.scoreboard())
    kept, single = (2, 2) if mpm == "prefork" else (4, 3)
    clients = [hammer(worker.port, kept, "/sleep/0.01"), hammer(worker.port, single, keep_alive=False)]
    worker.call("PUT", "/control", {"processes": 4})
    four = staying(worker.await_board(has(4)))
    assert first < four
    time.sleep(0.5)
    worker.call("PUT", "/control", {"processes": 1})
    (last,) = staying(worker.await_board(has(1)))
    assert last in first
    served = [one.served for one in clients]
    worker.await_board(lambda _: all(one.served > n for one, n in zip(clients, served, strict=True)))
    for one in clients:
        one.stop()
        assert one.failures == []
    assert staying(worker.scoreboard()) == {last}
    assert 'mpm_servers_ended_total{reason="surplus"} 3' in worker.admin("/metrics")[2].decode()


def test_who_idles_on_a_process_that_goes_is_still_answered(start, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "4", "--threads", "1", "--keep-alive-timeout", "20")
    idle = [worker.connect() for _ in range(3)]
    try:
        for sock in idle:
            sock.sendall(GET)
            assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        worker.call("PUT", "/control", {"processes": 1})
        worker.await_board(lambda board: len(staying(board)) == 1)
        for sock in idle:
            sock.sendall(GET)
            assert sock.recv(4096).startswith(b"HTTP/1.1 200")
    finally:
        for sock in idle:
            sock.close()
    worker.await_board(has(1))


SLOW = """
import os, time
while os.path.exists("slow"):
    time.sleep(0.02)

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "0")])
    return []
"""


def test_the_only_one_that_serves_goes_once_another_does(start, tmp_path, mpm: str) -> None:
    (tmp_path / "late.py").write_text(SLOW)
    worker = start("--mpm", mpm, "--processes", "2", "--threads", "1", app="late:app", chdir=tmp_path)
    seats = sorted(worker.scoreboard()["processes"], key=lambda process: process["slot"])
    first, second = (process["pid"] for process in seats)
    (tmp_path / "slow").touch()
    os.kill(first, signal.SIGKILL)
    worker.await_board(lambda board: len(staying(board) - {first}) == 2)
    worker.call("PUT", "/control", {"processes": 1})
    time.sleep(0.3)
    assert worker.admin("/readyz")[0] == 200
    assert worker.get()[0] == 200
    assert second in staying(worker.scoreboard())
    (tmp_path / "slow").unlink()
    worker.await_board(has(1))
    assert second not in staying(worker.scoreboard())
    assert worker.get()[0] == 200


def test_no_more_than_server_limit(start, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "1", "--threads", "1", "--server-limit", "2")
    status, answer = worker.call("PUT", "/control", {"processes": 3})
    assert (status, answer["field"]) == (400, "processes")
    assert "from 1 to 2" in answer["error"]
    for _ in range(3):
        worker.signal(signal.SIGTTIN)
    worker.await_board(has(2))
    assert [worker.get()[0] for _ in range(20)] == [200] * 20


@pytest.mark.parametrize("also", [(), ("--check-config",)], ids=["start", "check"])
def test_more_than_there_are_descriptors_for_is_an_error_of_server_limit(run_to_the_end, also) -> None:
    options = ("--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--server-limit", "100")
    code, said = run_to_the_end(*options, *also, "json:loads", through=("prlimit", "--nofile=256"))
    assert code == 2
    assert "--server-limit 100 needs 332 descriptors" in said
    assert "256 are allowed (ulimit -n), enough for --server-limit 74" in said
    assert "Traceback" not in said


def test_with_as_many_as_it_names_it_serves(start) -> None:
    few = ("prlimit", "--nofile=256")
    worker = start("--server-limit", "74", "--processes", "2", "--threads", "1", through=few)
    assert worker.get()[0] == 200


@pytest.mark.parametrize(("processes", "limit"), [(1, 32), (16, 32), (17, 34)])
def test_left_out_server_limit_is_twice_the_processes(processes: int, limit: int) -> None:
    assert load(["--processes", str(processes), "a:b"], {}).server_limit == limit


def test_processes_beyond_the_limit_are_corrected_and_said() -> None:
    options = load(["--processes", "9", "--server-limit", "4", "a:b"], {})
    assert options.processes == 4
    assert "9 processes exceed ServerLimit of 4" in options.warnings[0]
    options = load(["--mpm", "prefork", "--server-limit", "4", "a:b"], {})
    assert (options.processes, options.warnings) == (4, ()), "nobody asked for eight"


def test_a_request_timeout_that_is_set_live_finds_who_runs_already(start, hammer, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "1", "--threads", "2", app="trouble:app")
    with worker.connect() as stuck:
        stuck.sendall(GET.replace(b"/ ", b"/hang "))
        worker.await_board(lambda board: board["workers"]["busy"] == 1)
        answer = worker.call("PUT", "/control", {"requestTimeoutSeconds": 1})[1]
        assert answer["settings"]["requestTimeoutSeconds"] == 1
        worker.await_line("GET /hang in slot .* runs for more than 1 s")
        worker.await_line(r"GET /hang in slot .* has run for [\d.]+ s and is here")
        worker.await_line("is ended with 1 requests that do not end")
        assert stuck.recv(1) == b""
    assert worker.get()[0] == 200


def test_a_request_timeout_that_is_taken_back_cuts_nobody(start) -> None:
    worker = start("--mpm", "worker", "--processes", "1", "--threads", "2", "--request-timeout", "1")
    assert worker.call("PUT", "/control", {"requestTimeoutSeconds": 0})[0] == 200
    before = staying(worker.scoreboard())
    assert worker.get("/sleep/2.5")[0] == 200
    assert staying(worker.scoreboard()) == before


def test_max_rss_that_is_set_live_replaces_who_has_grown(start, mpm: str) -> None:
    worker = start(
        *("--mpm", mpm, "--processes", "1", "--threads", "2", "--max-rss", "0", "--keep-alive-timeout", "1"),
        app="trouble:app",
    )
    (first,) = staying(worker.scoreboard())
    assert worker.get("/grow/100")[0] == 200
    assert worker.call("PUT", "/control", {"maxRssBytes": 100 << 20})[0] == 200
    worker.await_line(f"server {first} has grown to [0-9]+ MiB and is replaced")
    worker.await_board(lambda board: first not in staying(board))
    answer = worker.call("PUT", "/control", {"maxRssBytes": -1})[1]
    assert answer["settings"]["maxRssBytes"] == -1


def test_a_time_that_is_not_0_is_not_taken_for_0(start) -> None:
    worker = start("--mpm", "worker", "--processes", "1", "--threads", "1", app="trouble:app")
    assert worker.call("PUT", "/control", {"keepAliveTimeoutSeconds": 0.0003})[0] == 200
    assert "Connection" not in worker.get()[1]
    assert worker.call("PUT", "/control", {"requestTimeoutSeconds": 0.0003})[0] == 200
    with worker.connect() as stuck:
        stuck.sendall(GET.replace(b"/ ", b"/hang "))
        worker.await_line("GET /hang in slot .* runs for more than 0.001 s")


@pytest.mark.parametrize(
    "change",
    [
        {"maxRssBytes": -2},
        {"maxRssBytes": 0.5},
        {"requestTimeoutSeconds": -1},
        {"requestTimeoutSeconds": None},
    ],
    ids=str,
)
def test_limits_that_mean_nothing_are_refused(start, change) -> None:
    worker = start("--processes", "1", "--threads", "1")
    before = worker.scoreboard()["settings"]
    status, answer = worker.call("PUT", "/control", change)
    assert (status, answer["field"]) == (400, *change)
    assert worker.scoreboard()["settings"] == before
