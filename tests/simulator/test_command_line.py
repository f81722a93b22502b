"""`mpm simulate`: the figures of the contract, and errors that say file, line and what was expected."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from mpm_operator.cli.simulate import simulate

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

CONTRACT = {
    "violations_percent",
    "pod_seconds",
    "ideal_pod_seconds",
    "peak_pods",
    "needed_peak_pods",
    "flaps_per_hour",
    "in_flight_on_victims",
    "busy_on_victims",
    "busy_on_newest",
    "api_writes",
}
SPEC = """\
apiVersion: mpm-operator.io/v1alpha1
kind: WebServer
metadata: {name: shop}
spec:
  app: {module: "shop:app"}
  mpm: {threadsPerChild: 10, maxRequestWorkers: 20}
"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    file = tmp_path / "trace.csv"
    file.write_text("second,rps\n" + "\n".join(f"{n},{100 + n}" for n in range(60)))
    return file


def mpm_simulate(*arguments: object) -> Result:
    return CliRunner().invoke(simulate, [str(argument) for argument in arguments])


def figures(*arguments: object) -> dict[str, float]:
    result = mpm_simulate(*arguments, "--json")
    assert result.exit_code == 0, result.output
    parsed: dict[str, float] = json.loads(result.stdout)
    return parsed


def test_json_has_the_keys_of_the_contract_and_repeats_by_seed(trace: Path) -> None:
    first = figures("--trace", trace, "--seed", 7)
    assert first.keys() >= CONTRACT
    assert first == figures("--trace", trace, "--seed", 7)
    assert first != figures("--trace", trace, "--seed", 8)
    assert first["ideal_pod_seconds"] == 60  # 100..159 requests/s × 0.1 s fit into one pod of 25


def test_every_option_changes_the_run(trace: Path) -> None:
    plain = ("--trace", trace, "--service-ms", 500, "--slots", 5)
    base = figures(*plain)
    for option in (
        ("--service-dist", "lognormal"),
        ("--startup", 20),
        ("--balancer", "least-busy"),
        ("--warm-up", 0),
        ("--clients", 40),
        ("--stat-loss", 0.9),
        ("--cpu-ms", 300),
    ):
        assert figures(*plain, *option) != base, option
    assert figures(*plain, "--slots", 50)["ideal_pod_seconds"] < base["ideal_pod_seconds"]
    cold = (*plain, "--warm-up", 0)
    assert figures(*cold, "--slo-ms", 0)["violations_percent"] > figures(*cold)["violations_percent"]


def test_spec_bounds_the_pods_and_slots_can_override_it(trace: Path, tmp_path: Path) -> None:
    spec = tmp_path / "shop.yaml"
    spec.write_text(SPEC)
    arguments = ("--trace", trace, "--spec", spec, "--service-ms", 1000)
    assert figures(*arguments)["peak_pods"] == 2
    assert figures(*arguments, "--slots", 5)["peak_pods"] == 4


@pytest.mark.parametrize("change", ["replicas: 1", "paused: true"])
def test_pods_set_by_hand_stay_and_so_do_those_of_a_paused_webserver(
    trace: Path, tmp_path: Path, change: str
) -> None:
    spec = tmp_path / "shop.yaml"
    spec.write_text(SPEC.replace("{threads", "{startServers: 1, threads") + f"  {change}\n")
    told = figures("--trace", trace, "--spec", spec, "--service-ms", 1000)
    assert told["pod_seconds"] == 60


def test_table_and_picture(trace: Path, tmp_path: Path) -> None:
    result = mpm_simulate("--trace", trace, "--plot", tmp_path / "run.svg")
    assert result.exit_code == 0
    assert "violations" in result.output
    assert "× ideal" in result.output
    assert ET.parse(tmp_path / "run.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"10\nten\n", "t.txt:2: expected requests a second"),
        (b"", "t.txt:1: expected requests a second"),
        (b"\xff\xfe\x00", "t.txt:1: expected requests a second"),
        (None, "t.txt: cannot be read"),
    ],
)
def test_bad_trace_ends_with_2_and_names_file_line_and_expectation(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    file = tmp_path / "t.txt"
    if content is not None:
        file.write_bytes(content)
    result = mpm_simulate("--trace", file)
    assert result.exit_code == 2
    assert says in result.output.replace("\n", "")


def test_bad_spec_ends_with_2_and_names_the_field(trace: Path, tmp_path: Path) -> None:
    spec = tmp_path / "bad.yaml"
    spec.write_text(SPEC.replace("threadsPerChild: 10", "threadsPerChild: ten"))
    result = mpm_simulate("--trace", trace, "--spec", spec)
    assert result.exit_code == 2
    assert "spec.mpm.threadsPerChild" in result.output


@pytest.mark.parametrize(
    "option", [("--startup", -1), ("--stat-loss", 2), ("--service-ms", 0), ("--slots", 0)]
)
def test_option_out_of_range_ends_with_2(trace: Path, option: tuple[str, int]) -> None:
    result = mpm_simulate("--trace", trace, *option)
    assert result.exit_code == 2
    assert option[0] in result.output


@pytest.mark.parametrize("option", ["--plot", "--dump"])
def test_a_place_for_no_file_is_refused_before_the_run(trace: Path, tmp_path: Path, option: str) -> None:
    for place in (tmp_path, tmp_path / "none" / "run"):
        result = mpm_simulate("--trace", trace, option, place)
        assert result.exit_code == 2
        assert option in result.output


def test_a_trace_of_minutes_is_replayed_with_a_remark(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("time,rps\r\n0,10\r\n60,20\r\n")
    result = mpm_simulate("--trace", file, "--warm-up", 5)
    assert result.exit_code == 0
    assert "t.csv:3: by its first column this line is 60 s after" in result.stderr
