"""A minute of mixed load (`make soak-http` is an hour of it): memory and slots stay, nothing fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from testcluster import packages

SOAK = Path(__file__).parents[2] / "bench" / "http" / "soak.py"


def test_a_minute_of_mixed_load_leaves_nothing_behind() -> None:
    packages.ensure({"wrk": "/usr/bin/wrk"}, "the soak of the worker")
    done = subprocess.run(
        [sys.executable, SOAK, "--minutes", "1"], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "0 requests failed" in done.stdout
