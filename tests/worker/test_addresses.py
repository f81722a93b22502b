"""Addresses: several at once, Unix sockets with owner and mode, files that an ended server left."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import stat
import threading
from contextlib import closing

import pytest
from worker_http import UnixConnection, told


def test_several_addresses_are_served_by_every_process(start, mpm: str, tmp_path) -> None:
    path = tmp_path / "http.sock"
    binds = ("--bind", "127.0.0.1:0", "--bind", f"unix:{path},127.0.0.1:0")
    worker = start("--mpm", mpm, "--processes", "2", "--threads", "2", *binds, app="told:app")
    said = worker.await_line(
        r"listening on http://127.0.0.1:(\d+), unix:(\S+), http://127.0.0.1:(\d+), admin"
    )
    assert said[2] == str(path)
    for port in (said[1], said[3]):
        environ = told(http.client.HTTPConnection("127.0.0.1", int(port), timeout=60))
        assert (environ["SERVER_PORT"], environ["REMOTE_ADDR"]) == (port, "127.0.0.1")
    for _ in range(10):
        environ = told(UnixConnection(path))
        assert (environ["SERVER_NAME"], environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == (
            "localhost",
            "",
            "http",
        )
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    assert not path.exists()


def test_the_queue_of_a_unix_socket_is_counted_and_emptied(start, gate, mpm: str, tmp_path) -> None:
    path = tmp_path / "http.sock"
    options = ("--mpm", mpm, "--processes", "1", "--threads", "1", "--listen-backlog", "100")
    worker = start(*options, "--bind", f"unix:{path}")
    answers: list[int] = []

    def ask() -> None:
        with closing(UnixConnection(path)) as connection:
            connection.request("GET", gate.path)
            answers.append(connection.getresponse().status)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    board = worker.await_board(lambda board: board["workers"]["queue"] == 5)
    assert board["backlog"]["limit"] == 100
    worker.signal(signal.SIGTERM)
    gate.open()
    assert worker.exit_code() == 0
    for thread in threads:
        thread.join(60)
    assert answers == [200] * 6
    assert not path.exists()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_the_file_goes_with_the_server(start, tmp_path, end: int) -> None:
    path = tmp_path / "http.sock"
    worker = start("--bind", f"unix:{path}", "--socket-mode", "0606", "--socket-owner", "nobody:daemon")
    found = path.stat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o606
    assert (found.st_uid, found.st_gid) == (65534, 1)
    worker.signal(end)
    assert worker.exit_code() == 0
    assert not path.exists()


def test_a_file_that_was_left_is_replaced(start, tmp_path) -> None:
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
        left.listen()
    start("--bind", f"unix:{path}", app="told:app")
    assert told(UnixConnection(path))["REMOTE_ADDR"] == ""


def test_a_file_in_use_is_left_alone(start, run_to_the_end, tmp_path) -> None:
    path = tmp_path / "http.sock"
    worker = start("--bind", f"unix:{path}", app="told:app")
    code, said = run_to_the_end("--bind", f"unix:{path}", "--admin", "127.0.0.1:0", "a:b")
    assert (code, said) == (2, f"mpm-worker: --bind unix:{path}: another server listens there\n")
    # Nor does an ended server take away the file of its successor.
    os.unlink(path)
    start("--bind", f"unix:{path}", app="told:app")
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    assert told(UnixConnection(path))["REMOTE_ADDR"] == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bind", "unix:"], "expected a path after unix:"),
        (["--bind", "unix:/nowhere/at/all.sock"], "--bind unix:/nowhere/at/all.sock: No such file"),
        (["--bind", "unix:{folder}"], "there is a file of another kind"),
        (["--bind", "unix:{folder}/" + "x" * 120], "path too long"),
        (["--bind", "unix:{folder}/s", "--socket-mode", "rw"], "expected permissions in octal like 0660"),
        (["--bind", "unix:{folder}/s", "--socket-owner", "nobody-of-that-name"], "no such user"),
    ],
)
def test_an_address_that_cannot_be_had_ends_with_2(run_to_the_end, tmp_path, arguments, words: str) -> None:
    code, said = run_to_the_end(
        *(argument.format(folder=tmp_path) for argument in arguments), "--admin", "127.0.0.1:0", "a:b"
    )
    assert code == 2
    assert words in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_listening_is_said_once_a_server_accepts(start, tmp_path) -> None:
    go = tmp_path / "go"
    (tmp_path / "late.py").write_text(
        "import os, time\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.02)\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'here']\n"
    )
    worker = start(app="late:app", chdir=tmp_path, ready=False)
    assert worker.admin("/startupz")[0] == 503
    assert not any("listening on" in line for line in worker.said)
    go.touch()
    assert worker.get()[0] == 200  # the port is in the line
