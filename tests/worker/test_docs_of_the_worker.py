"""The pages of the worker: the options are those of the table, and every command of the guide does its thing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_of_options_is_made_from_the_table() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "docs/make_options.py"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    assert made == (ROOT / "docs/options.md").read_text(), (
        "run: python docs/make_options.py > docs/options.md"
    )
