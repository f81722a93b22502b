"""TERM: nothing is lost. What is running ends, what waits in the backlog is served, then exit 0."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import threading
import time

import pytest
from stalls import StoodStill, quick, when_steady

SLOTS = ("--processes", "2", "--threads", "2")
ENDLESS = ("--graceful-timeout", "10")
"""Clients that never stop to connect are awaited for half of it."""


def cut_off(worker) -> None:
    """A request that gets no response."""
    with pytest.raises((OSError, http.client.HTTPException)):
        worker.get("/sleep/200")


def knock(worker, seconds: float, *, every: float = 0.2) -> float:
    """A new connection at each beat, and its answer; when the last one came.

    :raises StoodStill: there were none for nearly two seconds, so that the pod may think that none will come
    """
    last = now = time.monotonic()
    end = now + seconds
    while now < end:
        try:
            assert worker.get()[0] == 200
        finally:
            if time.monotonic() - last > 1.4:
                raise StoodStill
        last = now
        time.sleep(every)
        now = time.monotonic()
    return last


def term(worker) -> float:
    """Seconds from the signal to the end."""
    began = time.monotonic()
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    return time.monotonic() - began


@pytest.mark.parametrize("keep_alive", [True, False])
def test_no_request_is_lost_while_clients_hammer(start, hammer, mpm: str, keep_alive: bool) -> None:
    worker = start("--mpm", mpm, *SLOTS, "--drain-delay", "0.3", "--keep-alive-timeout", "20", *ENDLESS)
    clients = hammer(worker.port, 8, "/sleep/0.01", keep_alive=keep_alive)
    worker.await_board(lambda _: clients.served > 20)
    clients.refused_ends = True
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    clients.stop()
    assert clients.failures == []


def test_no_request_is_lost_without_any_privilege(start, hammer, mpm: str) -> None:
    """As in a pod: to shut the door takes nothing that only root may."""
    options = ("--mpm", mpm, *SLOTS, "--drain-delay", "0.1", "--keep-alive-timeout", "20", *ENDLESS)
    worker = start(*options, through=("setpriv", "--bounding-set=-all", "--inh-caps=-all"))
    with open(f"/proc/{worker.process.pid}/status") as file:
        assert "CapEff:\t0000000000000000\n" in file.read()
    clients = hammer(worker.port, 8, "/sleep/0.01", keep_alive=False)
    worker.await_board(lambda _: clients.served > 20)
    clients.refused_ends = True
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    clients.stop()
    assert clients.failures == []


def test_who_comes_after_the_end_is_refused_at_once(start, gate, mpm: str) -> None:
    worker = start("--mpm", mpm, *SLOTS)
    thread = threading.Thread(target=worker.get, args=(gate.path,))
    thread.start()
    worker.await_board(lambda board: board["workers"]["busy"] == 1)
    worker.signal(signal.SIGTERM)
    refused = False
    for _ in range(200):
        time.sleep(0.1)
        with socket.socket() as sock:
            sock.settimeout(0.1)
            try:
                sock.connect(("127.0.0.1", worker.port))
            except ConnectionRefusedError:
                refused = True
                break
            except OSError:
                pass  # the door is shut, the port not closed yet
    assert refused
    assert worker.process.poll() is None
    gate.open()
    thread.join(60)
    assert worker.exit_code() == 0


def test_the_backlog_is_emptied(start, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "1", "--threads", "1")
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(worker.get("/sleep/0.2")[0])) for _ in range(8)]
    for thread in threads:
        thread.start()
    worker.await_board(
        lambda board: len(answers) + board["workers"]["busy"] + board["workers"]["queue"] >= len(threads)
    )
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    for thread in threads:
        thread.join(60)
    assert answers == [200] * 8


def test_ready_and_accepting_for_the_drain_delay(start, mpm: str) -> None:
    worker = start("--mpm", mpm, *SLOTS, "--drain-delay", "60")
    worker.signal(signal.SIGTERM)
    worker.await_board(lambda board: board["state"] == "Stopping")
    assert worker.admin("/readyz")[0] == 200
    status, headers, _ = worker.get()
    assert status == 200
    assert headers["Connection"] == "close"
    assert worker.scoreboard()["workers"]["idle"] == 0


def test_the_delay_is_skipped_by_who_was_quiesced_longer_ago(start) -> None:
    worker = start(*SLOTS, "--drain-delay", "60")
    worker.call("POST", "/control/quiesce", {"ttlSeconds": 600})
    worker.signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.exit_code(1)
    worker.kill()

    def took() -> float:
        worker = start(*SLOTS, "--drain-delay", "1")
        worker.call("POST", "/control/quiesce", {"ttlSeconds": 600})
        time.sleep(1.1)
        return term(worker)

    assert quick(0.95, took)


@when_steady
def test_the_door_stays_open_while_a_late_proxy_still_sends(start, mpm: str) -> None:
    worker = start("--mpm", mpm, *SLOTS, "--drain-delay", "1.6")
    worker.signal(signal.SIGTERM)
    last = knock(worker, 4.5)
    assert worker.admin("/readyz")[0] == 200
    assert worker.exit_code() == 0
    assert time.monotonic() - last > 1.5


@when_steady
def test_who_was_quiesced_longer_ago_awaits_two_quiet_seconds_too(start) -> None:
    worker = start(*SLOTS, "--drain-delay", "1")
    worker.call("POST", "/control/quiesce", {"ttlSeconds": 600})
    knock(worker, 1.5)
    worker.signal(signal.SIGTERM)
    knock(worker, 2.5)
    assert worker.admin("/readyz")[0] == 503
    assert worker.exit_code() == 0


@when_steady
def test_clients_that_never_stop_are_awaited_for_half_of_the_graceful_timeout(start, mpm: str) -> None:
    worker = start("--mpm", mpm, *SLOTS, "--drain-delay", "0.5", "--graceful-timeout", "4")
    assert worker.get()[0] == 200
    worker.signal(signal.SIGTERM)
    began = time.monotonic()
    with pytest.raises(ConnectionRefusedError):
        knock(worker, 30, every=0.1)
    assert time.monotonic() - began > 2.4
    assert worker.exit_code() == 0


def test_an_idle_pod_ends_after_the_delay_alone(start, mpm: str) -> None:
    def took() -> float:
        worker = start("--mpm", mpm, *SLOTS, "--drain-delay", "0.3")
        assert worker.get()[0] == 200
        time.sleep(2.8)
        seconds = term(worker)
        assert seconds > 0.25
        return seconds

    assert quick(2.2, took)


@when_steady
def test_without_a_delay_nobody_is_awaited(start, mpm: str) -> None:
    worker = start("--mpm", mpm, *SLOTS, "--graceful-timeout", "60")
    worker.signal(signal.SIGTERM)
    with pytest.raises(ConnectionRefusedError):
        knock(worker, 25, every=0.1)
    assert worker.exit_code(25) == 0


def test_who_shares_a_listener_awaits_nobody(start, mpm: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:

        def took() -> float:
            bind = ("--bind", f"fd://{sock.fileno()}")
            worker = start("--mpm", mpm, *SLOTS, *bind, "--drain-delay", "0.3", fds=(sock.fileno(),))
            assert worker.get()[0] == 200
            return term(worker)

        assert quick(1.9, took)


def test_an_idle_connection_keeps_its_timeout(start, mpm: str) -> None:
    worker = start("--mpm", mpm, *SLOTS, "--keep-alive-timeout", "30")
    with worker.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.recv(4096)
        worker.signal(signal.SIGTERM)
        time.sleep(0.8)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"connection: close" in sock.recv(4096).lower()
    assert worker.exit_code() == 0


def test_the_deadline_ends_what_does_not_end(start, mpm: str) -> None:
    worker = start("--mpm", mpm, *SLOTS, "--graceful-timeout", "0.5")
    thread = threading.Thread(target=cut_off, args=(worker,))
    thread.start()
    worker.await_board(lambda board: board["workers"]["busy"] == 1)
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    thread.join(60)
    worker.await_line("graceful timeout")


def test_int_does_not_wait(start, mpm: str) -> None:
    worker = start("--mpm", mpm, *SLOTS)
    thread = threading.Thread(target=cut_off, args=(worker,))
    thread.start()
    worker.await_board(lambda board: board["workers"]["busy"] == 1)
    worker.signal(signal.SIGINT)
    assert worker.exit_code() == 0
    thread.join(60)
