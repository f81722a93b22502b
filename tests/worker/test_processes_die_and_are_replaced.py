"""Children that die, restart, wear out; and a supervisor that dies takes its children with it."""

from __future__ import annotations

import os
import signal
import time


def pids(worker) -> set[int]:
    return {process["pid"] for process in worker.scoreboard()["processes"]}


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_child_takes_only_its_own_requests(start, hammer, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "2", "--threads", "2")
    clients = hammer(worker.port, 4, "/sleep/0.02", keep_alive=False)
    worker.await_board(lambda _: clients.served > 20)
    victim = next(iter(pids(worker)))
    os.kill(victim, signal.SIGKILL)
    worker.await_board(
        lambda board: victim not in {p["pid"] for p in board["processes"]} and board["servers"] == 2
    )
    served = clients.served
    worker.await_board(lambda _: clients.served > served + 20)
    clients.stop()
    assert len(clients.failures) <= 4  # each of the clients had one request under way
    worker.await_line(f"server {victim} was killed by SIGKILL")


def test_children_end_with_their_supervisor(start, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "3", "--threads", "2")
    children = pids(worker)
    assert len(children) == 3
    worker.signal(signal.SIGKILL)
    worker.process.wait(60)
    end = time.monotonic() + 60
    while any(map(alive, children)):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_restart_replaces_every_child_and_fails_nobody(start, hammer, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "2", "--threads", "2", "--keep-alive-timeout", "20")
    before = pids(worker)
    clients = hammer(worker.port, 4, "/sleep/0.01")
    worker.await_board(lambda _: clients.served > 20)
    worker.signal(signal.SIGHUP)
    board = worker.await_board(
        lambda board: board["servers"] == 2 and not before & {p["pid"] for p in board["processes"]}
    )
    assert board["generation"] == 1
    assert all(process["generation"] == 1 for process in board["processes"])
    clients.stop()
    assert clients.failures == []


def test_an_app_that_no_longer_imports_keeps_the_old_one(start, tmp_path) -> None:
    code = tmp_path / "shop.py"
    good = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'old']\n"
    code.write_text(good)
    worker = start("--processes", "2", "--threads", "2", app="shop:app", chdir=tmp_path)
    before = pids(worker)
    code.write_text("raise RuntimeError('half an edit')\n")
    worker.signal(signal.SIGUSR1)
    worker.await_line("RuntimeError: half an edit")
    worker.await_line("graceful restart given up")
    assert pids(worker) == before
    assert worker.get()[2] == b"old"
    code.write_text(good.replace("old", "much newer"))
    worker.signal(signal.SIGHUP)
    worker.await_board(
        lambda board: board["servers"] == 2 and not before & {p["pid"] for p in board["processes"]}
    )
    assert worker.get()[2] == b"much newer"


def test_a_worn_child_is_replaced_and_fails_nobody(start, hammer, mpm: str) -> None:
    worker = start("--mpm", mpm, "--processes", "2", "--threads", "2", "--max-connections-per-child", "20")
    before = pids(worker)
    clients = hammer(worker.port, 3, keep_alive=False)
    worker.await_board(lambda board: not before & {p["pid"] for p in board["processes"] if not p["retiring"]})
    clients.stop()
    assert clients.failures == []
    assert worker.scoreboard()["generation"] == 0


def test_ttin_and_ttou_move_the_number_of_processes(start) -> None:
    worker = start("--processes", "1", "--threads", "2")
    worker.signal(signal.SIGTTIN)
    worker.await_board(lambda board: board["workers"]["idle"] == 4)
    worker.signal(signal.SIGTTOU)
    worker.await_board(lambda board: board["servers"] == 1)


def test_term_to_a_child_replaces_it(start) -> None:
    worker = start("--processes", "1", "--threads", "2")
    old = next(iter(pids(worker)))
    os.kill(old, signal.SIGTERM)
    worker.await_board(
        lambda board: [p["pid"] for p in board["processes"]] != [old] and board["servers"] == 1
    )
    assert worker.get()[0] == 200


def test_children_that_die_at_once_are_not_started_in_a_hurry(start) -> None:
    worker = start("--processes", "1", "--threads", "1")
    for _ in range(30):  # those that grow older than five seconds do not count
        try:
            worker.get("/die")
        except OSError:
            pass
        if any("ended one after the other" in line for line in worker.said):
            break
    worker.await_line("ended one after the other, the next is started in")
    assert worker.admin("/healthz")[0] == 200
    worker.await_board(lambda board: board["workers"]["idle"] == 1)
    assert worker.get()[0] == 200


def test_prefork_runs_the_application_in_the_main_thread(start) -> None:
    worker = start("--mpm", "prefork", "--processes", "2")
    assert worker.get("/pid")[2].split()[1] == b"True"
