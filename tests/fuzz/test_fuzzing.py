"""Half a minute of `make fuzz`, and that its judges see what they are there for."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from targets import answers, requests
from twins import Answer, pure, talk

from mpm_worker.http import Connection, connection


def test_half_a_minute_of_fuzzing_finds_nothing() -> None:
    """MPM_FUZZ_SECONDS: longer; MPM_FUZZ_SEED: the same once more."""
    command = [sys.executable, str(Path(__file__).with_name("run.py"))]
    command += ["--seconds", os.environ.get("MPM_FUZZ_SECONDS", "30")]
    command += ["--seed", seed] if (seed := os.environ.get("MPM_FUZZ_SEED")) else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no difference" in done.stdout


def test_a_twin_that_reads_otherwise_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    requests(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    with pure():
        first = Connection()  # what is made here is read by pure Python
        first.receive(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n")
        made = first.next_request()
    monkeypatch.setattr(connection, "_read_common_head", lambda *_: made)
    with pytest.raises(AssertionError):
        requests(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")


def test_the_common_answer_goes_the_short_way_and_others_do_not() -> None:
    wire, (keep, status, sent, abort), _, told, _ = talk(
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Answer("200 OK", [("X-A", "b")], [b"abc"])
    )
    assert wire == (
        b"HTTP/1.1 200 OK\r\nX-A: b\r\nDate: now\r\nServer: mpm-worker\r\nContent-Length: 3\r\n\r\nabc"
    )
    assert (keep, status, sent, abort, told) == (True, 200, 3, False, [])


def test_the_same_seed_gives_the_same_answers() -> None:
    for seed in range(300):
        answers(random.Random(seed))
