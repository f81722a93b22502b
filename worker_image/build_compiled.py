"""Builds mpm_worker._compiled where there is a C compiler; without one the worker is pure Python.

A build hook of hatchling, and a command: `python worker_image/build_compiled.py` builds beside the source.
`MPM_COMPILED=0` in the environment leaves it out.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a command
    BuildHookInterface = object  # type: ignore[assignment,misc]

SOURCE = Path(__file__).parent / "mpm_worker" / "_compiled.pyx"
CYTHON = "cython>=3.1,<4"


def wanted() -> bool:
    """Whether there is what a build needs, Cython aside."""
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    return os.environ.get("MPM_COMPILED") != "0" and compiler() is not None and header.exists()


def compiler() -> str | None:
    """The first word of the command is what must be there."""
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    found = shutil.which(shlex.split(command)[0])
    return command if found else shutil.which("cc")


def build(target: Path) -> None:
    """Make the module; it comes into its place whole.

    :raises subprocess.CalledProcessError: Cython or the compiler refused
    """
    with tempfile.TemporaryDirectory() as folder:
        c_file, library = Path(folder, "_compiled.c"), Path(folder, "module")
        subprocess.run([sys.executable, "-m", "cython", "-3", str(SOURCE), "-o", str(c_file)], check=True)
        include = sysconfig.get_paths()["include"]
        flags = ["-O2", "-g0", "-fPIC", "-shared", "-fno-strict-aliasing", f"-I{include}"]
        command = [*shlex.split(compiler() or "cc"), *flags, str(c_file), "-o", str(library)]
        subprocess.run(command, check=True)
        beside = target.with_suffix(".new")
        shutil.copy(library, beside)
        beside.replace(target)


def name() -> str:
    return f"_compiled{sysconfig.get_config_var('EXT_SUFFIX')}"


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc,valid-type]
    """Puts the module into the wheel; an editable install gets it beside the source."""

    def dependencies(self) -> list[str]:
        return [CYTHON] if wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not wanted():
            return
        target = SOURCE.with_name(name())
        if version != "editable":
            target = Path(self.directory, name())
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            build(target)
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(
                f"the compiled hot path was not built, the worker is pure Python: {error}"
            )
            return
        if version != "editable":
            build_data["force_include"][str(target)] = f"mpm_worker/{name()}"
            build_data["pure_python"] = False
            build_data["infer_tag"] = True


if __name__ == "__main__":
    build(SOURCE.with_name(name()))
