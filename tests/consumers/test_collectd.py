"""collectd's apache plugin reads a worker's page and finds nothing to warn of."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("agents")

CONFIG = """
BaseDir "{folder}"
PIDFile "{folder}/pid"
PluginDir "/usr/lib/collectd"
TypesDB "/usr/share/collectd/types.db"
Hostname "here"
Interval 1
LoadPlugin logfile
<Plugin logfile>
  LogLevel info
  File "{folder}/log"
</Plugin>
LoadPlugin csv
<Plugin csv>
  DataDir "{folder}/csv"
  StoreRates false
</Plugin>
LoadPlugin apache
<Plugin apache>
  <Instance "shop">
    URL "{url}"
  </Instance>
</Plugin>
"""
STATES = {
    "waiting": "_",
    "starting": "S",
    "reading": "R",
    "sending": "W",
    "keepalive": "K",
    "dnslookup": "D",
    "closing": "C",
    "logging": "L",
    "finishing": "G",
    "idle_cleanup": "I",
    "open": ".",
}
WARNINGS = ("warning", "error", "failed", "apache plugin:", "Content-Type")


def written(folder: Path) -> dict[str, float]:
    """The last value of each series."""
    found = {}
    for file in (folder / "csv" / "here" / "apache-shop").glob("*"):
        last = file.read_text().splitlines()[-1]
        value = last.rpartition(",")[2]
        if value != "value":
            found[file.name.rsplit("-", 3)[0]] = float(value)
    return found


def test_each_value_arrives_and_nothing_is_warned_of(
    serve: Callable[..., Any], run: Callable[..., Any], tmp_path: Path, mpm: str
) -> None:
    worker = serve(mpm, "--processes", "2", "--threads", "3")
    config = tmp_path / "collectd.conf"
    config.write_text(CONFIG.format(folder=tmp_path, url=worker.auto_url))
    worker.settle()
    run("collectd", "-f", "-C", config)
    auto = worker.auto()
    wanted = {
        f"apache_scoreboard-{state}": auto["Scoreboard"].count(letter) for state, letter in STATES.items()
    }
    wanted |= {
        "apache_requests": 5,
        "apache_bytes": int(auto["Total kBytes"]) * 1024,
        "apache_connections": int(auto["BusyWorkers"]),
        "apache_idle_workers": int(auto["IdleWorkers"]),
    }
    end = time.monotonic() + 60
    while written(tmp_path).keys() < wanted.keys() and time.monotonic() < end:
        time.sleep(0.1)
    assert written(tmp_path) == wanted
    log = (tmp_path / "log").read_text()
    assert not [word for word in WARNINGS if word in log], log
