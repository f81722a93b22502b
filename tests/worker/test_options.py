"""Options: one table, four sources, and a sentence for every mistake."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from mpm_worker.addresses import ListenError, open_listeners
from mpm_worker.app import AppError, load_app
from mpm_worker.elsewhere import ELSEWHERE, WITHOUT
from mpm_worker.option_pages import markdown, usage
from mpm_worker.options import TABLE, OptionError, load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


FACTORY = """
import os

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "6")])
    return [b"a shop"]

class make:
    def shop():
        with open("made", "a") as file:
            print(os.getpid(), file=file)
        return app
"""


def in_folder(folder: Path, what: Callable[[], object]) -> None:
    """As after --chdir; the modules that are imported are forgotten."""
    before, path = set(sys.modules), sys.path[:]
    with contextlib.chdir(folder):
        try:
            what()
        finally:
            sys.path[:] = path
            for name in sys.modules.keys() - before:
                del sys.modules[name]


def run(*arguments: str, env: dict[str, str] | None = None, cwd=None) -> tuple[int, str]:
    command = [sys.executable, "-P", "-m", "mpm_worker", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, cwd=cwd, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "MODULE:CALLABLE"),
        (["shop"], "MODULE:CALLABLE"),
        (["shop.py:app"], "perhaps shop:app, not 'shop.py:app'"),
        (["./shop/wsgi.py"], "perhaps shop.wsgi:app"),
        (["--workers", "4", "a:b"], "unknown option --workers; here it is --processes"),
        (["-w", "4", "a:b"], "unknown option -w; here it is --processes"),
        (["--reload", "a:b"], "unknown option --reload; it is not needed: send HUP for new code"),
        (["a:b", "c:d"], "second application"),
        (["--thread", "5", "a:b"], "did you mean --threads?"),
        (["--kep-alive", "5", "a:b"], "did you mean --keep-alive?"),
        (["--threads", "many", "a:b"], "--threads: expected a whole number, 1 to 20000, not 'many'"),
        (["--threads", "0", "a:b"], "--threads"),
        (["--threads=2.5", "a:b"], "--threads"),
        (["--threads"], "--threads: its value is missing"),
        (["--mpm", "motorz", "a:b"], "prefork, worker or event"),
        (["--keep-alive", "maybe", "a:b"], "on or off"),
        (["--timeout", "nan", "a:b"], "--timeout"),
        (["--listen-backlog", "0", "a:b"], "--listen-backlog"),
        (["--chdir", "/does/not/exist", "a:b"], "--chdir /does/not/exist: no such folder"),
        (["--config", "/does/not/exist.toml", "a:b"], "--config /does/not/exist.toml: No such file or"),
    ],
)
def test_a_bad_option_is_named(arguments: list[str], words: str) -> None:
    with pytest.raises(OptionError, match=re.escape(words)):
        load(arguments, {})


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nowhere", "--bind: expected HOST:PORT, unix:PATH or fd://N"),
        ("127.0.0.1:70000", "--bind"),
        ("192.0.2.1:0", "--bind 192.0.2.1:0"),
        ("fd://99", "no socket with that number"),
        ("fd://0", "fd://0"),
    ],
)
def test_an_address_that_cannot_be_had_is_named(address: str, words: str) -> None:
    with pytest.raises(ListenError, match=re.escape(words)):
        open_listeners([address], "--bind", seats=2, backlog=5)


def test_a_bad_option_ends_with_2_and_without_a_traceback() -> None:
    code, said = run("--thread", "5", "a:b")
    assert (code, said) == (2, "mpm-worker: unknown option --thread; did you mean --threads?\n")


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for option in ("--bind", "--admin"):
            code, said = run(option, address, "--mpm", "event", "a:b")
            assert (code, said) == (2, f"mpm-worker: {option} {address}: the port is taken\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own needs root")
def test_a_port_that_is_not_for_us_says_who_may_have_it(run_to_the_end) -> None:
    without_rights = ("unshare", "--net", "setpriv", "--bounding-set", "-all")
    code, said = run_to_the_end(
        "--bind", "0.0.0.0:80", "--admin", "127.0.0.1:0", "a:b", through=without_rights
    )
    assert code == 2
    assert "--bind 0.0.0.0:80: not allowed; a port below 1024 is for root" in said


def test_two_workers_cannot_share_a_port(start) -> None:
    worker = start("--mpm", "event", "--threads", "1")
    code, said = run("--bind", f"127.0.0.1:{worker.port}", "--admin", "127.0.0.1:0", "a:b")
    assert code == 2
    assert "the port is taken" in said


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise RuntimeError('no database')\n", "RuntimeError: no database"),
        ("import missing_piece\n", "No module named 'missing_piece'"),
        ("ap = 1\n", "has no attribute 'app'; did you mean ap?"),
        ("app = 1\n", "not a WSGI callable"),
        ("async def app(scope, receive, send): pass\n", "broken_shop:app is asynchronous (ASGI)"),
        ("class A:\n async def __call__(self, *a): pass\napp = A()\n", "is asynchronous (ASGI)"),
        ("def app(): return print\n", "one that makes an application is written broken_shop:app()"),
        ("def app(:\n", "SyntaxError"),
        ("import sys; sys.exit(0)\n", "SystemExit"),
        ("import os; os._exit(0)\n", "ended with exit code 0"),
        ("import os; os.abort()\n", "SIGABRT"),
    ],
)
def test_an_app_that_cannot_start_ends_with_3(tmp_path, source: str, words: str) -> None:
    (tmp_path / "broken_shop.py").write_text(source)
    code, said = run(
        "--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--chdir", str(tmp_path), "broken_shop:app"
    )
    assert code == 3
    assert words in said
    assert said.splitlines()[-1].startswith("mpm-worker: no server could be started")


GOOD = "class Wrapper:\n def __call__(self, environ, start_response): return []\n"


@pytest.mark.parametrize(
    "source",
    [
        "async def inner(scope, receive, send): pass\n"
        f"{GOOD} def __getattr__(self, name): return getattr(inner, name)\napp = Wrapper()\n",
        f"{GOOD} def __getattr__(self, name): raise RuntimeError('outside of a request')\napp = Wrapper()\n",
        f"{GOOD} __class__ = property(lambda self: 1 // 0)\napp = Wrapper()\n",
    ],
)
def test_a_wrapper_is_not_judged_by_what_it_wraps(tmp_path, source: str) -> None:
    (tmp_path / "broken_shop.py").write_text(source)
    code, said = run("--check-config", "--chdir", str(tmp_path), "broken_shop:app")
    assert code == 0, said


def test_a_missing_module_is_told_without_a_traceback(tmp_path) -> None:
    code, said = run(
        "--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--chdir", str(tmp_path), "nothing.here:app"
    )
    assert code == 3
    assert "the application nothing.here:app cannot be started: ModuleNotFoundError" in said
    assert f"looked for in {tmp_path} first" in said
    assert "Traceback" not in said


def test_a_traceback_begins_in_the_application(tmp_path) -> None:
    (tmp_path / "broken_shop.py").write_text("def connect():\n    raise OSError('no database')\nconnect()\n")
    with pytest.raises(AppError) as caught:
        in_folder(tmp_path, lambda: load_app("broken_shop:app"))
    lines = str(caught.value).splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert all("broken_shop.py" in line for line in lines if line.startswith("  File"))
    assert lines[-1] == "OSError: no database"


@pytest.mark.parametrize(
    "source",
    [
        "def app(environ, start_response): pass",
        "def app(*arguments): pass",
        "def app(environ, start_response=None, *, more=None): pass",
        "class app:\n def __init__(self, environ, start_response): pass",
        "class A:\n def __call__(self, environ, start_response): pass\n def run(self, e, s): pass\napp = A()",
        "class A:\n def run(self, environ, start_response): pass\napp = A().run",
        "import functools\ndef run(shop, environ, start_response): pass\napp = functools.partial(run, 1)",
        "app = dict",
    ],
)
def test_what_can_be_called_with_two_arguments_is_an_application(tmp_path, source: str) -> None:
    (tmp_path / "fine_shop.py").write_text(source)
    load_app.cache_clear()
    in_folder(tmp_path, lambda: load_app("fine_shop:app"))


def test_a_factory_is_called_once(start, tmp_path) -> None:
    (tmp_path / "shop.py").write_text(FACTORY)
    worker = start("--preload", "on", "--processes", "2", app="shop:make.shop()", chdir=tmp_path)
    assert worker.get()[2] == b"a shop"
    assert (tmp_path / "made").read_text() == f"{worker.process.pid}\n"


def test_a_factory_that_fails_is_told(tmp_path) -> None:
    (tmp_path / "poor_shop.py").write_text("def make():\n    raise OSError('no database')\n")
    with pytest.raises(AppError, match="OSError: no database"):
        in_folder(tmp_path, lambda: load_app("poor_shop:make()"))


def test_the_command_line_beats_the_environment_beats_the_file(tmp_path) -> None:
    file = tmp_path / "mpm.toml"
    file.write_text('app = "shop:app"\nthreads = 3\ntimeout = 30\nkeep-alive = false\nprocesses = 2\n')
    options = load(["--config", str(file), "--threads", "5"], {"MPM_THREADS": "4", "MPM_TIMEOUT": "20"})
    assert (options.app, options.threads, options.timeout, options.processes) == ("shop:app", 5, 20.0, 2)
    assert options.keep_alive is False
    assert load([], {"MPM_CONFIG": str(file)}).threads == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("thread = 3", "unknown key thread; did you mean threads?"),
        ("\nworkers = 3", "line 2: unknown key workers; here it is processes"),
        ("app = 'a:b'\n# threads = 1\nthreads = 'x'", "line 3, key threads: expected a whole number"),
        ("\n[server]\nthreads = 3", "line 2: expected NAME = VALUE without sections, not [server]"),
        ("server.threads = 3", "line 1: expected NAME = VALUE without sections, not [server]"),
        ("threads = true", "key threads: expected a whole number"),
        ("threads = 2.5", "key threads: expected a whole number"),
        ("keep-alive = 5", "key keep-alive: expected on or off"),
        ("app = 5", "key app"),
        ("threads = ", "--config"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path, text: str, words: str) -> None:
    file = tmp_path / "mpm.toml"
    file.write_text(text)
    with pytest.raises(OptionError, match=re.escape(words)) as caught:
        load(["--config", str(file), "a:b"], {})
    assert str(file) in str(caught.value)


def test_a_variable_that_is_nearly_an_option_is_told() -> None:
    environ = {
        "MPM_THREAD": "5",
        "MPM_KEEPALIVE": "on",
        "MPM_OPERATOR_PORT": "1",
        "MPM_POD_NAME": "a",
        "MPM_POD_IP": "b",
    }
    assert [line.split()[0] for line in load(["a:b"], environ).warnings] == ["MPM_KEEPALIVE", "MPM_THREAD"]


def test_threads_beyond_the_limit_are_corrected_and_said() -> None:
    options = load(["--threads", "100", "--thread-limit", "64", "a:b"], {})
    assert options.threads == 64
    assert "ThreadsPerChild of 100 exceeds ThreadLimit of 64" in options.warnings[0]


def test_prefork_has_one_thread_and_more_processes() -> None:
    options = load(["--mpm", "prefork", "a:b"], {})
    assert (options.threads, options.thread_limit, options.processes) == (1, 1, 8)


def test_a_name_of_another_server_leads_to_an_option() -> None:
    assert set(ELSEWHERE.values()) <= {*(option.name for option in TABLE), "config"}
    assert not (ELSEWHERE.keys() | WITHOUT.keys()) & {option.name for option in TABLE}
    assert not ELSEWHERE.keys() & WITHOUT.keys()


def test_every_option_is_in_help_and_documentation() -> None:
    for option in TABLE:
        assert f"--{option.name} " in usage()
        assert f"`{option.variable}`" in markdown()


def test_a_listening_socket_can_be_handed_down(start, mpm: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        bind = ("--mpm", mpm, "--processes", "2", "--threads", "1", "--bind", f"fd://{listener.fileno()}")
        workers = [start(*bind, fds=(listener.fileno(),)) for _ in range(2)]
        assert {worker.port for worker in workers} == {port}
        for _ in range(20):
            assert workers[0].get()[0] == 200
        # A request is counted when its response has been sent: the last one perhaps a moment later.
        end = time.monotonic() + 60
        while sum(worker.scoreboard()["totals"]["accesses"] for worker in workers) < 20:
            assert time.monotonic() < end
        workers[0].signal(15)
        assert workers[0].exit_code() == 0
        for _ in range(20):
            assert workers[1].get()[0] == 200
