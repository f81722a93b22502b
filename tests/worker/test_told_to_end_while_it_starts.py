"""A worker that is told to end before it listens ends, also where a signal without a handler is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

APPS = Path(__file__).parent / "apps"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGWINCH])
def test_a_stop_during_the_imports_is_a_graceful_stop(number: int) -> None:
    command = [sys.executable, "-P", "-X", "importtime", "-m", "mpm_worker", "--bind", "127.0.0.1:0"]
    process = subprocess.Popen(
        [*command, "--admin", "127.0.0.1:0", "--chdir", str(APPS), "told:app"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process.stderr as said:
        # The first of its own modules is there, and the supervisor is not yet.
        assert any("mpm_worker." in line for line in said)
        process.send_signal(number)
        said.read()
    assert process.wait(60) == 0
