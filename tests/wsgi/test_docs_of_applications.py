"""The page about applications: its commands do what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from testcluster import packages

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/applications.md"


def test_the_commands_of_the_page(tmp_path: Path) -> None:
    packages.ensure({"curl": "/usr/bin/curl"}, "the test of the page about applications")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MPM_")}
    environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    own_network = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    done = subprocess.run(
        [*own_network, sys.executable, ROOT / "tests/worker/guide.py", PAGE],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("curl ") == 5


def test_every_command_of_the_page_is_tested() -> None:
    text = PAGE.read_text()
    assert len(re.findall(r"<!-- test: (?:run|serve|ask) -->\n```sh", text)) == text.count("```sh") == 3


def test_the_image_of_the_page_is_that_of_the_example() -> None:
    (block,) = re.findall(r"```Containerfile\n(.*?)```", PAGE.read_text(), re.DOTALL)
    example = (ROOT / "examples/flask/Containerfile").read_text().splitlines()
    assert [line for line in block.splitlines() if line not in example] == []
