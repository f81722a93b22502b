"""A real worker under load, and real readers of its pages; everything listens on ports of 127.0.0.1."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

sys.path.insert(0, str(Path(__file__).parent))

from consuming import APP, Worker, answers


@pytest.fixture
def run() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts programs and ends them."""
    started: list[subprocess.Popen[str]] = []

    def begin(*argv: str | Path, **options: object) -> subprocess.Popen[str]:
        # A session of its own: httpd ends by a signal to its whole process group.
        process = subprocess.Popen(argv, text=True, start_new_session=True, **options)  # type: ignore[call-overload]
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=20)


@pytest.fixture
def serve(run: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> Callable[..., Worker]:
    """Starts a worker of one model with these options; it has served five requests."""

    def begin(mpm: str, *options: str) -> Worker:
        (tmp_path / "app.py").write_text(APP)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MPM_")}
        process = run(
            *(sys.executable, "-P", "-m", "mpm_worker", "--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0"),
            *("--chdir", tmp_path, "--mpm", mpm, *options, "app:app"),
            stderr=subprocess.PIPE,
            env=environ,
        )
        said = process.stderr.readline() + process.stderr.readline()
        ports = re.search(r"listening on http://\S+:(\d+), admin on http://\S+:(\d+)", said)
        assert ports, said
        worker = Worker(int(ports[1]), int(ports[2]))
        answers(f"http://127.0.0.1:{worker.admin}/readyz")
        worker.ask(5)
        return worker

    return begin


@pytest.fixture(params=["prefork", "worker", "event"])
def mpm(request: pytest.FixtureRequest) -> str:
    return str(request.param)
