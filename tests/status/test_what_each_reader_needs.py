"""What the agents in the field read of `?auto`, as tables: each runs on our page in each state and model.

The rules are those of the agents' own sources, said in our words; Debian's agents run for real in
tests/consumers.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mpm_worker.status import auto

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_worker.status import View

SCANNER = 64 * 1024
"""bufio.MaxScanTokenSize: a longer line ends the page for readers in Go."""
LETTERS = set("_SRWKDCLGI.")


def pairs(text: str) -> dict[str, str]:
    """Lines with `: `, as nearly all readers split them."""
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


COUNTS = {"Total Accesses", "Total kBytes", "BusyWorkers", "IdleWorkers", "Uptime"}
CPU = {"CPUUser", "CPUSystem", "CPUChildrenUser", "CPUChildrenSystem"}
EVENT = {"ConnsTotal", "ConnsAsyncWriting", "ConnsAsyncKeepAlive", "ConnsAsyncClosing"}

NEEDS: dict[str, set[str]] = {
    "apache_exporter": COUNTS
    | CPU
    | {"ServerVersion", "ServerMPM", "Total Duration", "Load1", "Load5", "Load15"},
    "telegraf": COUNTS | {"Scoreboard"},
    "datadog": COUNTS,
    "netdata": COUNTS | {"Scoreboard"},
    "collectd": COUNTS - {"Uptime"} | {"Scoreboard"},
    "metricbeat": COUNTS | CPU | {"ServerUptimeSeconds"},
    "opentelemetry": COUNTS - {"Uptime"} | {"ServerUptimeSeconds", "Scoreboard", "Load1", "Load5", "Load15"},
    "munin": {"BusyWorkers", "IdleWorkers", "Scoreboard", "Total Accesses", "Total kBytes"},
    "zabbix": COUNTS | {"ServerVersion", "ServerMPM", "ServerUptimeSeconds", "Scoreboard"},
}


@pytest.mark.parametrize("reader", NEEDS)
def test_its_fields_are_there(reader: str, text: str) -> None:
    found = pairs(text)
    assert NEEDS[reader] <= found.keys()
    if found["ServerMPM"] == "event":
        assert found.keys() >= EVENT
    else:
        assert not EVENT & found.keys()


def test_apache_exporter_can_take_the_version_apart(text: str) -> None:
    """It indexes the parts without looking whether they are there."""
    major, minor, patch, *_ = pairs(text)["ServerVersion"].split("/")[1].split(" ")[0].split(".")
    assert float(f"{major}.{minor}{patch}") >= 0


def test_telegraf_reads_each_number_as_a_float(text: str) -> None:
    words = {
        "ServerVersion",
        "ServerMPM",
        "Server Built",
        "CurrentTime",
        "RestartTime",
        "ServerUptime",
        "Scoreboard",
    }
    for name, value in pairs(text).items():
        if name not in words:
            assert math.isfinite(float(value)), name


def test_datadog_finds_two_parts_in_each_line(text: str) -> None:
    for line in text.splitlines():
        if ": " in line:
            assert len(line.split(": ")) == 2, line


def test_metricbeat_finds_no_exponent(text: str) -> None:
    """Its pattern stops at the `e`, so 7.8e-06 would be read as 7.8."""
    for name, value in pairs(text).items():
        if re.match(r"-?[\d.]", value) and name not in ("CurrentTime", "RestartTime", "ServerUptime"):
            assert re.fullmatch(r"-?\d*\.?\d+", value), (name, value)


def test_netdata_does_not_take_it_for_lighttpd(text: str) -> None:
    assert not pairs(text).keys() & {"BusyServers", "IdleServers"}


def test_zabbix_knows_the_model(text: str) -> None:
    assert pairs(text)["ServerMPM"] in ("prefork", "worker", "event")


def test_scanners_in_go_can_take_each_line(text: str) -> None:
    assert max(len(line.encode()) for line in text.splitlines()) < SCANNER


def test_the_scoreboard_is_of_httpds_letters(text: str) -> None:
    assert set(pairs(text)["Scoreboard"]) <= LETTERS


def test_busy_idle_and_letters_agree(text: str) -> None:
    """munin and OpenTelemetry count letters, the others take the counts."""
    found = pairs(text)
    if "SlotsPerLetter" in found:
        return
    board = found["Scoreboard"]
    assert int(found["BusyWorkers"]) == sum(map(board.count, "RWKDCL"))
    assert int(found["GracefulWorkers"]) == board.count("G")
    assert int(found["IdleWorkers"]) == board.count("_")


def test_a_folded_scoreboard_says_so(state: Callable[[str], View]) -> None:
    found = pairs(auto(state("too many to print")))
    each = int(found["SlotsPerLetter"])
    assert each == 2
    assert abs(found["Scoreboard"].count("W") * each - 40_000) <= each
    assert found["BusyWorkers"] == "40000"
    assert "SlotsPerLetter" not in pairs(auto(state("a thousand slots")))


def test_averages_are_left_out_when_there_is_nothing_to_average(state: Callable[[str], View]) -> None:
    idle, starting = pairs(auto(state("idle"))), pairs(auto(state("starting")))
    assert "BytesPerReq" not in idle
    assert "DurationPerReq" not in idle
    assert idle["ReqPerSec"] == "0"
    assert "ReqPerSec" not in starting
    assert "ServerUptime:" in auto(state("starting")).splitlines()


def test_slots_are_counted_where_they_are_shown(state: Callable[[str], View]) -> None:
    """A slot may be taken between the load that was read first and the letters: they are what counts."""
    found = pairs(auto(replace(state("idle"), letters="WW" + "_" * 23)))
    assert (found["BusyWorkers"], found["IdleWorkers"]) == ("2", "23")
