"""--static-max-age: clients may keep files without asking again; what is no file says nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from worker_process import WorkerProcess

from mpm_worker.options import OptionError, load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def worker(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    place = tmp_path_factory.mktemp("app")
    (place / "behind.py").write_text(
        "def app(environ, start):\n    start('200 OK', [])\n    return [b'app']\n"
    )
    options = ("--static", f"/static={folder / 'site'}", "--static-max-age", "3600")
    worker = WorkerProcess("--processes", "1", "--chdir", str(place), *options, "behind:app")
    yield worker
    worker.end()


@pytest.mark.parametrize(
    ("path", "field", "status"),
    [
        ("/static/alphabet.txt", ("Accept", "*/*"), 200),
        ("/static/alphabet.txt", ("Range", "bytes=0-3"), 206),
        ("/static/alphabet.txt", ("Range", "bytes=0-3,9-10"), 206),
        ("/static/alphabet.txt", ("If-None-Match", "*"), 304),
        ("/static/app.js", ("Accept-Encoding", "br"), 200),
    ],
)
def test_a_file_may_be_kept(worker: WorkerProcess, path: str, field: tuple[str, str], status: int) -> None:
    found, headers, _ = worker.get(path, headers=dict([field]))
    assert (found, headers["Cache-Control"]) == (status, "max-age=3600")


@pytest.mark.parametrize("path", ["/static/nothing", "/static/sub", "/elsewhere"])
def test_what_is_no_file_says_nothing(worker: WorkerProcess, path: str) -> None:
    assert "Cache-Control" not in worker.get(path)[1]


def test_a_bad_age_is_told() -> None:
    with pytest.raises(OptionError, match="--static-max-age: expected a whole number, 0 to 31536000"):
        load(["--static-max-age", "1h", "m:app"], {})
