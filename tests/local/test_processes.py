"""A child process stands in its own session, is heard to its last line, and never outlives its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from mpm_operator.local.process import ChildProcess


async def lines_of(process: ChildProcess) -> list[str]:
    return [line async for line in process.lines()]


async def test_every_line_is_heard_whole_also_the_last_without_an_end() -> None:
    process = ChildProcess(["-c", "import sys; print('one'); sys.stderr.write('two\\nthree')"])
    assert await lines_of(process) == ["one", "two", "three"]
    assert await process.wait() == 0


async def test_a_line_without_end_is_cut_and_not_collected_for_ever() -> None:
    process = ChildProcess(["-c", "print('x' * 1_000_000, end='')"])
    lines = await lines_of(process)
    await process.wait()
    assert sum(map(len, lines)) == 1_000_000
    assert len(lines) > 1


@pytest.mark.parametrize(("end", "code"), [("sys.exit(3)", 3), ("os.kill(os.getpid(), 9)", -9)])
async def test_its_end_is_told_by_code_or_signal(end: str, code: int) -> None:
    process = ChildProcess(["-c", f"import os, sys; {end}"])
    assert await lines_of(process) == []
    assert await process.wait() == code
    process.signal(signal.SIGTERM)  # nobody else is hit


async def test_it_stands_in_its_own_session() -> None:
    process = ChildProcess(["-c", "import os; print(os.getsid(0) == os.getpid() == os.getpgrp())"])
    assert await lines_of(process) == ["True"]
    await process.wait()


async def test_its_end_is_noticed_while_a_grandchild_holds_the_output() -> None:
    process = ChildProcess(
        [
            "-c",
            "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])",
        ]
    )
    async with asyncio.timeout(30):
        assert await process.wait() == 0
    process.kill_session()  # the grandchild
    async with asyncio.timeout(30):
        assert await lines_of(process) == []


async def test_options_of_a_worker_in_the_environment_stay_outside(monkeypatch) -> None:
    monkeypatch.setenv("MPM_THREADS", "7")
    process = ChildProcess(["-c", "import os; print(os.environ.get('MPM_THREADS'))"])
    assert await lines_of(process) == ["None"]
    await process.wait()


def test_it_is_told_to_end_when_its_parent_is_killed() -> None:
    program = """
import asyncio
from mpm_operator.local.process import ChildProcess
async def main():
    process = ChildProcess(["-c", "import time; print('up', flush=True); time.sleep(60)"])
    async for line in process.lines():
        print(process.pid, flush=True)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
    deadline = time.monotonic() + 60
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(child)


def alive(pid: int) -> bool:
    """Whether it runs; a zombie that nobody reaps has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_nobody_lives_under_a_wrong_parent() -> None:
    from mpm_operator.local import launch

    command = [sys.executable, launch.__file__, str(os.getppid()), sys.executable, "-c", "print('ran')"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""
