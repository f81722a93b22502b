"""User, group, umask, folder, pid file and the check of a configuration."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from worker_tls import make_certificate

from mpm_worker.option import OptionError
from mpm_worker.pidfile import PidFile

APPS = Path(__file__).parent / "apps"
KEEPING_CAPABILITIES = ("setpriv", "--securebits", "+no_setuid_fixup")
"""Python may lie in a folder of root's alone: with its capabilities kept, any user can go on reading it."""


def identity(worker) -> dict[str, Any]:
    with closing(http.client.HTTPConnection("127.0.0.1", worker.port, timeout=60)) as connection:
        connection.request("GET", "/identity")
        found: dict[str, Any] = json.loads(connection.getresponse().read())
    return found


@pytest.mark.parametrize(
    ("options", "user", "groups"),
    [
        (("--user", "nobody"), (65534, 65534), [65534]),
        (("--user", "www-data", "--group", "daemon"), (33, 1), [1]),
        (("--user", "12345", "--group", "23456"), (12345, 23456), []),
    ],
)
def test_another_user_is_become_after_the_binding(start, mpm: str, options, user, groups) -> None:
    worker = start("--mpm", mpm, "--processes", "1", *options, app="told:app", through=KEEPING_CAPABILITIES)
    found = identity(worker)
    assert found["uid"] == [user[0]] * 3
    assert found["gid"] == [user[1]] * 3
    assert found["groups"] == groups
    with open(f"/proc/{worker.process.pid}/status") as file:
        assert f"Uid:\t{user[0]}\t{user[0]}\t{user[0]}\t{user[0]}\n" in file.read()


def test_a_unix_socket_belongs_to_the_user_who_serves(start, tmp_path) -> None:
    path = tmp_path / "http.sock"
    start("--user", "nobody", "--bind", f"unix:{path}", app="told:app", through=KEEPING_CAPABILITIES)
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--user", "nobody-of-that-name"), "--user nobody-of-that-name: no such user"),
        (("--group", "nobody-of-that-name"), "--group nobody-of-that-name: no such group"),
        (("--user", "12345"), "that number has no account here, so --group must be given too"),
        (("--umask", "9"), "--umask: expected permissions in octal"),
        (("--pid-file", "/nowhere/mpm.pid"), "--pid-file /nowhere/mpm.pid: No such file"),
        (("--access-log", "/nowhere/access.log"), "--access-log /nowhere/access.log: No such file"),
        (("--access-log", "/"), "--access-log /: Is a directory"),
    ],
)
def test_what_cannot_be_had_ends_with_2(run_to_the_end, options: tuple[str, ...], words: str) -> None:
    code, said = run_to_the_end("--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0", *options, "a:b")
    assert code == 2
    assert words in said
    assert "Traceback" not in said


def test_only_root_becomes_someone_else(run_to_the_end) -> None:
    options = ("--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--user", "www-data")
    reading = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
    code, said = run_to_the_end(*options, "a:b", through=(*KEEPING_CAPABILITIES, "--reuid=65534", *reading))
    assert code == 2
    assert said == (
        "mpm-worker: --user, --group: only root can become someone else; start as root, or leave them out\n"
    )


def test_a_named_pipe_that_nobody_reads_holds_nothing_up(start, tmp_path) -> None:
    os.mkfifo(tmp_path / "log")
    worker = start("--processes", "1", "--access-log", str(tmp_path / "log"))
    assert worker.get()[0] == 200
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0


def test_a_named_pipe_is_opened_once_for_its_reader_and_not_to_try_it(start, tmp_path) -> None:
    os.mkfifo(tmp_path / "log")
    with subprocess.Popen(["cat", str(tmp_path / "log")], stdout=subprocess.PIPE, text=True) as reader:
        try:
            worker = start("--processes", "1", "--access-log", str(tmp_path / "log"))
            assert worker.get("/size/10")[0] == 200
            worker.signal(signal.SIGTERM)
            assert worker.exit_code() == 0
            said, _ = reader.communicate(timeout=60)
        finally:
            reader.kill()
    assert [" /size/10 " in line for line in said.splitlines()] == [True]


def test_a_named_pipe_that_the_user_may_not_read_is_told(run_to_the_end) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        log = Path(folder, "log")
        os.mkfifo(log)
        log.chmod(0o622)
        code, said = run_to_the_end(
            "--check-config", "--user", "nobody", "--access-log", str(log), "os:getpid"
        )
    assert code == 2
    assert f"--access-log {log}: a named pipe that this user must be allowed to read and write" in said


def test_umask_folder_and_pid_file(start, tmp_path) -> None:
    shutil.copy(APPS / "told.py", tmp_path)
    options = ("--umask", "027", "--pid-file", "run.pid", "--access-log", "access.log")
    worker = start(*options, app="told:app", chdir=tmp_path)
    assert identity(worker)["umask"] == 0o027
    assert identity(worker)["folder"] == str(tmp_path)
    assert (tmp_path / "run.pid").read_text() == f"{worker.process.pid}\n"
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    assert not (tmp_path / "run.pid").exists()
    assert (tmp_path / "access.log").stat().st_mode & 0o777 == 0o640


def test_a_pid_file_of_a_successor_stays(start, tmp_path) -> None:
    path = tmp_path / "run.pid"
    worker = start("--pid-file", str(path), app="told:app")
    path.write_text("1\n")
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    assert path.read_text() == "1\n"


def test_a_pid_file_can_be_read_by_the_user_who_removes_it(tmp_path) -> None:
    before = os.umask(0o077)
    try:
        PidFile(str(tmp_path / "run.pid"))
    finally:
        os.umask(before)
    assert (tmp_path / "run.pid").stat().st_mode & 0o777 == 0o644


def test_a_pid_file_that_cannot_be_leaves_nothing_behind(tmp_path) -> None:
    (tmp_path / "run.pid").mkdir()
    with pytest.raises(OptionError, match=r"run\.pid: Is a directory"):
        PidFile(str(tmp_path / "run.pid"))
    assert [path.name for path in tmp_path.iterdir()] == ["run.pid"]


def test_what_a_killed_start_left_of_a_pid_file_is_no_hindrance(tmp_path) -> None:
    (tmp_path / f"run.pid.{os.getpid()}").write_text("1")
    PidFile(str(tmp_path / "run.pid"))
    assert (tmp_path / "run.pid").read_text() == f"{os.getpid()}\n"


# -- --check-config


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "shop.py").write_text("def app(environ, start_response): return []\n")
    (tmp_path / "busy.py").write_text(
        "import threading as t\nt.Thread(target=t.Event().wait, daemon=True).start()\napp = print\n"
    )
    return tmp_path


def test_a_good_configuration_is_said_to_be(run_to_the_end, shop) -> None:
    certificate, key = make_certificate(shop / "tls")
    (shop / "mpm.toml").write_text(
        'app = "shop:app"\nthreads = 100\ntls-certificate = "tls/tls.crt"\ntls-key = "tls/tls.key"\n'
    )
    code, said = run_to_the_end("--check-config", "--config", str(shop / "mpm.toml"), "--chdir", str(shop))
    assert code == 0
    assert said.splitlines()[-1] == "mpm-worker: the configuration is good"
    assert "ThreadsPerChild of 100 exceeds ThreadLimit" in said
    assert key != certificate


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["shop:ap"], "has no attribute 'ap'"),
        (["nothing:app"], "No module named 'nothing'"),
        (["--threads", "x", "shop:app"], "--threads: expected"),
        (["--user", "nobody-of-that-name", "shop:app"], "no such user"),
        (["--tls-certificate", "/nowhere.pem", "shop:app"], "--tls-certificate /nowhere.pem"),
        (["--access-log", "/nowhere/log", "shop:app"], "--access-log /nowhere/log"),
        (["--socket-owner", "nobody-of-that-name", "shop:app"], "no such user"),
        (["--bind", "nowhere", "shop:app"], "--bind: expected HOST:PORT"),
        (["--bind", "a..b:80", "shop:app"], "mpm-worker: --bind a..b:80: no host name"),
        (["--admin", "nowhere", "shop:app"], "--admin: expected HOST:PORT"),
        (["--bind", "https://127.0.0.1:0", "shop:app"], "https needs --tls-certificate"),
        (["--bind", "unix:/nowhere/sock", "shop:app"], "there is no folder /nowhere"),
        (["--pid-file", "/nowhere/run.pid", "shop:app"], "--pid-file /nowhere/run.pid: No such file"),
        (["--hooks", "nothing", "shop:app"], "--hooks nothing: ModuleNotFoundError"),
        (["--preload", "on", "busy:app"], "its import starts threads"),
    ],
)
def test_a_bad_configuration_is_told_with_2(run_to_the_end, shop, arguments: list[str], words: str) -> None:
    code, said = run_to_the_end("--check-config", "--chdir", str(shop), *arguments)
    assert code == 2
    assert words in said


def test_what_nobody_expects_is_told_too(run_to_the_end, shop) -> None:
    (shop / "odd.py").write_text("def __dir__(): raise RuntimeError('no names today')\n")
    code, said = run_to_the_end("--check-config", "--chdir", str(shop), "odd:app")
    assert code == 2
    assert "RuntimeError: no names today" in said


def test_the_check_is_made_as_the_user_who_serves(run_to_the_end, shop) -> None:
    log = ("--access-log", str(shop / "access.log"))  # in a folder of root's
    options = ("--check-config", "--chdir", str(shop), "shop:app")
    code, said = run_to_the_end(*log, *options)
    assert code == 0, said
    code, said = run_to_the_end("--user", "nobody", *log, *options)
    assert code == 2
    assert f"{log[1]}: Permission denied" in said
    assert not Path(log[1]).exists()  # or it would be root's when the other user comes to write it


def test_the_check_opens_no_port(run_to_the_end, start, shop) -> None:
    worker = start(app="told:app")
    code, _ = run_to_the_end(
        "--check-config", "--bind", f"127.0.0.1:{worker.port}", "--chdir", str(shop), "shop:app"
    )
    assert code == 0
