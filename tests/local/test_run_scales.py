"""`mpm run` of the examples: pods and threads follow the requests, none is lost, a terminal shows it."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest
from running import MPM, Running, eventually, get, write

from mpm_operator.local.load import Clients

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
_PODS = re.compile(r"pods (\d+)/\d+ threads (\d+) ")


def pods_and_threads(run: Running) -> list[tuple[int, int]]:
    """Every (ready pods, threads) that was shown."""
    return [(int(found[1]), int(found[2])) for line in run.lines if (found := _PODS.search(line))]


@pytest.mark.parametrize("mpm", ["Event", "Worker", "Prefork"])
async def test_the_example_grows_and_shrinks_without_losing_a_request(mpm: str, tmp_path: Path) -> None:
    text = (EXAMPLES / "blocking/webserver.yaml").read_text().replace("type: Event", f"type: {mpm}")
    text = text.replace("scaleDownStabilizationSeconds: 12", "scaleDownStabilizationSeconds: 3")
    if mpm == "Prefork":
        text = re.sub(r"threadsPerChild: \d+", "processesPerPod: 4", text)
        text = re.sub(r" +threadLimit: \d+.*\n", "", text)
    file = write(tmp_path, text, (EXAMPLES / "blocking/app.py").read_text())
    with Running(file) as run:
        clients = Clients(await asyncio.to_thread(run.serving))
        clients.resize(24)
        assert await asyncio.to_thread(
            eventually, lambda: any(pods >= 5 for pods, _ in pods_and_threads(run))
        )
        clients.resize(2)
        shown = len(pods_and_threads(run))
        assert await asyncio.to_thread(
            eventually, lambda: any(pods <= 3 for pods, _ in pods_and_threads(run)[shown:])
        )
        await clients.finish()
        assert clients.requests > 100
        assert not clients.failures
        run.interrupt()
        assert run.end() == 0


def test_the_app_of_a_config_map_is_served() -> None:
    with Running(EXAMPLES / "configmap.yaml") as run:
        assert get(run.serving()) == b"Hello from a ConfigMap.\n"


def test_replicas_set_by_hand_are_that_many_and_other_kinds_are_named() -> None:
    with Running(EXAMPLES / "hpa.yaml") as run:
        url = run.serving()
        assert eventually(lambda: (2, 50) in pods_and_threads(run))
        assert get(url) == b"Hello, by HPA.\n"
        assert len(run.supervisors()) == 2
        assert "HorizontalPodAutoscaler/by-hpa means nothing on one machine: ignored." in run.output


def test_on_a_terminal_it_is_a_table_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [MPM, "run", str(write(tmp_path)), "--port", "0"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        start_new_session=True,
    )
    os.close(terminal)
    try:
        assert "shop-1" in read_until(controller, re.compile(r"Serving.*__"))
        process.send_signal(signal.SIGINT)
        read_until(controller, re.compile("ending"))
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(controller)


def read_until(descriptor: int, pattern: re.Pattern[str], patience: float = 60.0) -> str:
    """What a terminal was shown, until `pattern` is in it."""
    shown, deadline = "", time.monotonic() + patience
    while not pattern.search(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)):
        assert time.monotonic() < deadline, shown
        if select.select([descriptor], [], [], 0.5)[0]:
            shown += os.read(descriptor, 65536).decode(errors="replace")
    return shown
