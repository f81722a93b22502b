"""What helm says after an install: its commands do what they are there for when they are copied."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import yaml

from mpm_operator.core.spec import WebServerSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KUBECTL = """#!/bin/sh
echo "$@" >> "$SEEN/calls"
case "$1" in apply) cat > "$SEEN/applied" ;; esac
"""
"""Stands for the cluster: writes down what it was asked."""


@pytest.fixture
def copied(helm: Any, chart: Path, tmp_path: Path) -> Callable[..., tuple[list[str], list[Any]]]:
    """Runs every command of the notes in a shell; returns the calls of kubectl, and the objects applied."""

    def copied(*options: str) -> tuple[list[str], list[Any]]:
        said = helm("install", "mpm", chart, "--namespace=mpm-system", "--dry-run=client", *options)
        assert said.returncode == 0, said.stderr
        notes = said.stdout.partition("NOTES:\n")[2].splitlines()
        begin, end = (
            next(number for number, line in enumerate(notes) if test(line))
            for test in (lambda line: line.startswith("kubectl apply"), lambda line: line == "END")
        )
        single = [line for line in notes[:begin] + notes[end:] if line.startswith("kubectl ")]
        (tmp_path / "kubectl").write_text(KUBECTL)
        (tmp_path / "kubectl").chmod(0o755)
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SEEN": str(tmp_path)}
        script = "\n".join([*single, *notes[begin : end + 1], ""])
        ended = subprocess.run(
            ["bash", "-e"],
            input=script,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
        applied = list(yaml.safe_load_all((tmp_path / "applied").read_text()))
        return (tmp_path / "calls").read_text().splitlines(), applied

    return copied


def test_the_first_webserver_of_the_notes_answers(copied: Callable[..., Any]) -> None:
    calls, (code, server) = copied()
    assert any(call.startswith("--namespace mpm-system rollout status") for call in calls)
    spec = msgspec.convert(server["spec"], WebServerSpec)
    module, name = spec.app.module.split(":")
    assert spec.app.config_map_ref is not None
    assert spec.app.config_map_ref.name == code["metadata"]["name"]
    found: dict[str, Any] = {}
    exec(code["data"][f"{module}.py"], found)
    heads: list[str] = []
    assert b"".join(found[name]({}, lambda status, fields: heads.append(status))) == b"hello\n"
    assert heads == ["200 OK"]


def test_the_notes_stay_in_a_namespace_that_is_served(copied: Callable[..., Any]) -> None:
    calls, _ = copied("--set=watchNamespaces={market,shop}")
    assert [call for call in calls if call.startswith(("apply", "get"))] == [
        "get webs --namespace market --output wide",
        "apply --namespace market --filename -",
    ]
