"""Compiled or pure: the same tests pass, and the worker says which one runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
BUILT = find_spec("mpm_worker._compiled")


@pytest.mark.timeout(600)
def test_http_and_wsgi_tests_pass_with_the_other_twin() -> None:
    """This run's own are of the twin that runs here."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--numprocesses=2"]
    command += [f"--ignore={TESTS / 'wsgi' / 'test_docs_of_applications.py'}"]
    command += [str(TESTS / "http"), str(TESTS / "wsgi")]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        command,
        env=environ | {"MPM_COMPILED": "0"},
        capture_output=True,
        text=True,
        timeout=580,
        cwd=TESTS.parent,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.parametrize("wanted", ["", "0"])
def test_the_version_says_which_twin_runs(wanted: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mpm_worker", "--version"],
        env=os.environ | {"MPM_COMPILED": wanted},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("pure Python" in done.stdout) == (wanted == "0" or BUILT is None)


def test_it_is_built_where_there_is_a_compiler() -> None:
    assert BUILT is not None or shutil.which("cc") is None
