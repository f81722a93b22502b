"""A child process of `mpm run` in a session of its own: the terminal's signals reach only the parent.

asyncio's own subprocesses are not used: on some Pythons their `wait()` lasts until every grandchild has
closed the output, so that a supervisor killed with -9 would be noticed only after its children are gone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_LAUNCH = str(Path(__file__).with_name("launch.py"))
_LONGEST_LINE = 8192


class ChildProcess:
    """`python ARGUMENTS...`, its lines (standard output and error together) and its end."""

    def __init__(self, arguments: Sequence[str], pass_fds: Sequence[int] = ()) -> None:
        """Start this Python with `arguments`; the descriptors `pass_fds` keep their numbers in it.

        Options of a worker in our environment (`MPM_...`) would win over the YAML: they are left out.
        """
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MPM_")}
        environment["PYTHONUNBUFFERED"] = "1"
        launcher = [sys.executable, "-I", "-S", _LAUNCH, str(os.getpid()), sys.executable]
        self._popen = subprocess.Popen(
            [*launcher, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pidfd = os.pidfd_open(self.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    @property
    def pid(self) -> int:
        return self._popen.pid

    async def lines(self) -> AsyncIterator[str]:
        """Every line it writes, until nobody holds its output open any more."""
        assert self._popen.stdout is not None
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), self._popen.stdout
        )
        try:
            rest = b""
            while chunk := await reader.read(65536):
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    yield line.decode(errors="replace").rstrip()
                if len(rest) > _LONGEST_LINE:
                    yield rest.decode(errors="replace")
                    rest = b""
            if rest:
                yield rest.decode(errors="replace")
        finally:
            transport.close()

    async def wait(self) -> int:
        """Wait for its end; return its exit code (negative: the signal that killed it)."""
        return await asyncio.shield(self._ended)

    def signal(self, number: int) -> None:
        if not self._ended.done():
            self._popen.send_signal(number)

    def kill_session(self) -> None:
        """Kill it and what it forked."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._ended.set_result(self._popen.wait())
