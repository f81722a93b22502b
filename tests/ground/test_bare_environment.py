"""The worker needs nothing but httptools: that is all its image holds."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import httptools
import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """An isolated interpreter (no site-packages of ours) that sees only httptools and mpm_worker."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "httptools").symlink_to(Path(httptools.__file__).parent)
    (folder / "mpm_worker").symlink_to(REPOSITORY / "worker_image" / "mpm_worker")
    start = f"import sys; sys.path.insert(0, {str(folder)!r}); sys.dont_write_bytecode = True;"
    return [sys.executable, "-I", "-S", "-c", start]


def test_every_module_of_the_worker_imports_with_httptools_alone(bare_python: list[str]) -> None:
    code = textwrap.dedent(
        """
        import importlib, pkgutil, mpm_worker
        modules = pkgutil.walk_packages(mpm_worker.__path__, "mpm_worker.")
        names = [module.name for module in modules if "__main__" not in module.name]
        for name in names:
            importlib.import_module(name)
        print(len(names))
        """
    )
    done = subprocess.run(
        [*bare_python[:-1], bare_python[-1] + "\n" + code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10


def test_the_worker_runs_with_httptools_alone(bare_python: list[str]) -> None:
    code = (
        bare_python[-1]
        + "from mpm_worker.__main__ import main; sys.argv = ['mpm-worker', '--help']; sys.exit(main())"
    )
    done = subprocess.run([*bare_python[:-1], code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "--threads-per-child" in done.stdout or "--threads" in done.stdout
