"""munin's three apache plugins read a worker's page."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("agents")


def plugin(name: str, url: str, folder: Path, *arguments: str) -> str:
    """What the plugin prints, as munin-node would run it."""
    state = {
        "MUNIN_LIBDIR": "/usr/share/munin",
        "MUNIN_PLUGSTATE": str(folder),
        "MUNIN_STATEFILE": str(folder / "state"),
    }
    done = subprocess.run(
        ["perl", f"/usr/share/munin/plugins/{name}", *arguments],
        env={**os.environ, **state, "url": url, "ports": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def values(text: str) -> dict[str, str]:
    return dict(line.split(".value ") for line in text.splitlines())


def test_its_plugins_find_what_they_need(serve: Callable[..., Any], tmp_path: Path, mpm: str) -> None:
    worker = serve(mpm, "--processes", "2", "--threads", "3")
    while (auto := worker.auto())["BusyWorkers"] != "0":
        time.sleep(0.05)  # the last of the five requests is still being closed
    for name in ("apache_accesses", "apache_processes", "apache_volume"):
        assert plugin(name, worker.auto_url, tmp_path, "autoconf") == "yes\n"
    assert values(plugin("apache_accesses", worker.auto_url, tmp_path)) == {"accesses1": "5"}
    assert values(plugin("apache_volume", worker.auto_url, tmp_path)) == {"volume1": str(14 * 1024)}
    assert values(plugin("apache_processes", worker.auto_url, tmp_path)) == {
        "busy1": auto["BusyWorkers"],
        "idle1": auto["IdleWorkers"],
        "free1": str(auto["Scoreboard"].count(".")),
    }
