"""What cannot be run is refused with a sentence and an exit code, never with a traceback alone."""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING

from running import MPM, WEBSERVER, Running, write

if TYPE_CHECKING:
    from pathlib import Path


def mpm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([MPM, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_a_bad_file_is_exit_2_with_file_line_and_field(tmp_path: Path) -> None:
    file = write(tmp_path, WEBSERVER.replace("threadsPerChild: 2", "threadsPerChild: two"))
    ended = mpm("run", str(file))
    assert ended.returncode == 2
    assert ended.stdout == ""
    expected = f"mpm: {file}:6: spec.mpm.threadsPerChild: expected a whole number, got `two`.\n"
    assert ended.stderr == expected


def test_a_port_that_is_taken_is_exit_2_with_port_and_option(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = mpm("run", str(write(tmp_path)), "--port", str(port))
    assert ended.returncode == 2
    assert f"port {port} of 127.0.0.1 is taken" in ended.stderr
    assert "--port" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_none_is_exit_2(tmp_path: Path) -> None:
    ended = mpm("run", str(write(tmp_path)), "--port", "70000")
    assert ended.returncode == 2
    assert "--port" in ended.stderr


def test_an_app_without_its_import_is_exit_3_with_the_error(tmp_path: Path) -> None:
    with Running(write(tmp_path, app="import nowhere_to_be_found\n")) as run:
        run.look()
        assert run.end() == 3
        assert "ModuleNotFoundError: No module named 'nowhere_to_be_found'" in run.lines[-1]
        assert "spec.app.module" in run.lines[-1]


def test_an_app_that_is_not_there_is_exit_3(tmp_path: Path) -> None:
    with Running(write(tmp_path, app=None)) as run:
        assert run.end() == 3
        assert "app" in run.lines[-1]


def test_a_callable_that_is_not_there_is_exit_3(tmp_path: Path) -> None:
    with Running(write(tmp_path, app="x = 1\n")) as run:
        assert run.end() == 3
        assert "application" in run.lines[-1]
