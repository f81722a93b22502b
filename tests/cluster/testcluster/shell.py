"""Running other programs, with their output in the error when they fail."""

from __future__ import annotations

import fcntl
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from testcluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


def run(
    argv: Sequence[str | Path],
    *,
    input: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
) -> str:
    """Standard output of a program that exits 0; anything else is a `ClusterError` with its last words.

    `timeout` is in seconds. `env` replaces the whole environment.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words, input=input, env=env, cwd=cwd, timeout=timeout, text=True, capture_output=True
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{words[0]}: not found ({error.filename})") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{' '.join(words)}: no end after {timeout:g} s") from error
    if done.returncode:
        output = (done.stdout + done.stderr).strip()
        raise ClusterError(f"{' '.join(words)}: exit code {done.returncode}\n{output[-4000:]}")
    return done.stdout


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; the kernel lets go of it when the process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
