"""`mpm simulate --dump` and `--replay`, `mpm explain --dump`: what was decided, why, and the same again."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from mpm_operator.cli.explain import explain
from mpm_operator.cli.simulate import simulate

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def run(command: object, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dump")
    trace, file = folder / "trace.txt", folder / "dump.json"
    trace.write_text("\n".join(["60"] * 30 + ["300"] * 60))
    result = run(simulate, "--trace", trace, "--service-ms", 1000, "--warm-up", 60, "--dump", file)
    assert result.exit_code == 0, result.output
    return file


def test_a_replay_makes_the_same_decisions(dump: Path) -> None:
    result = run(simulate, "--replay", dump)
    assert result.exit_code == 0, result.output
    count = len(json.loads(dump.read_text())["decisions"])
    assert count > 3
    assert result.stdout == f"{count} decisions, the same again\n"


def test_a_replay_names_the_first_difference(dump: Path, tmp_path: Path) -> None:
    document = json.loads(dump.read_text())
    document["decisions"][2]["plan"]["desired"] += 1
    (tmp_path / "other.json").write_text(json.dumps(document))
    result = run(simulate, "--replay", tmp_path / "other.json")
    assert result.exit_code == 1
    assert "decision 3 of" in result.stderr
    assert "desired: recorded" in result.stderr


def test_an_explanation_says_inputs_law_and_history(dump: Path) -> None:
    result = run(explain, "--dump", dump, "--last", 3)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("simulated: ")
    assert any("accept with" in line for line in lines)
    assert any("requests/s x" in line for line in lines)
    history = lines[lines.index("How it came to be:") + 1 :]
    assert len(history) == 3
    assert any(
        "LoadRose" in line or "QueueFormed" in line
        for line in run(explain, "--dump", dump).stdout.split("\n")
    )


def test_times_of_a_simulation_are_those_of_its_trace(dump: Path) -> None:
    history = run(explain, "--dump", dump, "--last", 1000).stdout
    assert re.search(r"^  -0:01:00  Created", history, re.M)
    assert re.search(r"^  0:00:3\d  (QueueFormed|LoadRose)", history, re.M), history


def test_a_webserver_that_is_not_in_the_dump_is_named(dump: Path) -> None:
    result = run(explain, "shop", "--dump", dump)
    assert result.exit_code == 1
    assert "simulated" in result.stderr


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        (simulate, ["--replay", "{trace}", "--trace", "{trace}"], "either --trace FILE or --replay FILE"),
        (simulate, [], "either --trace FILE or --replay FILE"),
        (simulate, ["--replay", "{trace}"], "trace.txt: expected JSON"),
        (simulate, ["--replay", "{trace}.missing"], "cannot be read"),
        (explain, [], "expected the NAME of a WebServer, or --dump FILE"),
        (explain, ["--dump", "{trace}"], "trace.txt: expected JSON"),
        (explain, ["shop", "--server", "ftp://x"], "expected http://HOST:PORT"),
    ],
)
def test_input_that_cannot_be_used_says_why(
    dump: Path, command: object, arguments: list[str], words: str
) -> None:
    trace = dump.parent / "trace.txt"
    result = run(command, *(argument.format(trace=trace) for argument in arguments))
    assert result.exit_code == 2
    assert words in result.stderr.replace("\n", " ")


def test_an_operator_that_cannot_be_asked_is_told() -> None:
    result = run(explain, "shop", "--server", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "is the operator's metrics port forwarded" in result.stderr


def test_a_spec_needs_no_config_map_to_be_simulated(tmp_path: Path) -> None:
    """The code of the application is not run: only its WebServer counts."""
    spec, trace = tmp_path / "shop.yaml", tmp_path / "trace.txt"
    spec.write_text(
        "apiVersion: mpm-operator.io/v1alpha1\nkind: WebServer\nmetadata: {name: shop}\n"
        'spec: {app: {module: "shop:app", configMapRef: {name: elsewhere}}}\n'
    )
    trace.write_text("10\n20\n")
    result = run(simulate, "--trace", trace, "--spec", spec)
    assert result.exit_code == 0, result.output
