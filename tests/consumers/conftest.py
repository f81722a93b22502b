"""A real worker under load, and real readers of its pages; everything listens on ports of 127.0.0.1."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

sys.path.insert(0, str(Path(__file__).parent))

from consuming import APP, Worker, answers
from worker_process import MODELS


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
    for process in started:  # all at once: some take their time
        process.terminate()
    for process in started:
        process.communicate(timeout=60)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts a worker of one model with these options; it has served five requests."""
    started: list[Worker] = []

    def begin(mpm: str, *options: str) -> Worker:
        (tmp_path / "app.py").write_text(APP)
        worker = Worker("--chdir", str(tmp_path), "--mpm", mpm, *options, "app:app")
        worker.folder, worker.held = tmp_path, []
        started.append(worker)
        answers(f"http://127.0.0.1:{worker.admin_port}/readyz")
        worker.ask(5)
        worker.await_rest()
        return worker

    yield begin
    (tmp_path / "release").touch()
    for worker in started:
        worker.end()


@pytest.fixture(params=MODELS)
def mpm(request: pytest.FixtureRequest) -> str:
    return str(request.param)
