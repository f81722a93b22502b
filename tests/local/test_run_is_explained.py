"""`mpm run --dump`: what was decided on this machine can be explained and made again afterwards."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

from running import MPM, Running, write

if TYPE_CHECKING:
    from pathlib import Path


def test_a_run_leaves_its_decisions(tmp_path: Path) -> None:
    dump = tmp_path / "dump.json"
    with Running(write(tmp_path), "--dump", str(dump)) as run:
        run.serving()
        run.interrupt(signal.SIGINT)
        assert run.end() == 0
    told = subprocess.run(
        [MPM, "explain", "shop", "--dump", dump], capture_output=True, text=True, timeout=60
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("shop: ")
    assert "Created: 1 pod: StartServers 1" in told.stdout
    again = subprocess.run([MPM, "simulate", "--replay", dump], capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stderr
    assert "the same again" in again.stdout
