"""The pages of the worker: options are those of the table, and every command of the guide does its thing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from testcluster import packages

from mpm_worker.options import load

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs/worker.md"
PROGRAMS = {"curl": "/usr/bin/curl", "openssl": "/usr/bin/openssl", "systemd": "/usr/bin/systemd-analyze"}


def test_the_page_of_options_is_made_from_the_table() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "docs/make_options.py"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert made == (ROOT / "docs/options.md").read_text(), (
        "run: python docs/make_options.py > docs/options.md"
    )


def test_the_commands_of_the_guide(tmp_path: Path) -> None:
    packages.ensure(PROGRAMS, "the test of the worker's guide")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MPM_")} | {
        "PATH": path
    }
    own_network = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    done = subprocess.run(
        [*own_network, sys.executable, Path(__file__).with_name("guide.py"), GUIDE],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("curl ") >= 8


def test_every_command_of_the_guide_is_tested() -> None:
    assert len(
        re.findall(r"<!-- test: (?:run|serve|ask) -->\n```sh", GUIDE.read_text())
    ) == GUIDE.read_text().count("```sh")


def test_systemd_takes_the_units_of_the_guide(tmp_path: Path) -> None:
    packages.ensure(PROGRAMS, "the test of the worker's guide")
    units = dict(re.findall(r"<!-- test: unit (\S+) -->\n```ini\n(.*?)```", GUIDE.read_text(), re.DOTALL))
    assert set(units) == {"shop.socket", "shop.service"}
    for name, text in units.items():
        # systemd looks whether the program is there.
        (tmp_path / name).write_text(text.replace("/usr/bin/mpm-worker", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(tmp_path / name for name in units)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    # Its arguments are the worker's.
    arguments = re.findall(r"ExecStart=/usr/bin/mpm-worker --chdir /srv/shop (.*)", units["shop.service"])[0]
    assert load(arguments.split(), {}).app == "shop.wsgi:application"
