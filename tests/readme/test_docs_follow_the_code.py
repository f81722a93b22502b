"""Pages made from the code are the ones that the code makes now; links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mpm_operator.core import explain

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def test_the_page_of_directives_is_made_from_the_types() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "docs/make_directives.py"], capture_output=True, text=True, check=True
    ).stdout
    assert made == (ROOT / "docs/directives.md").read_text(), (
        "run: python docs/make_directives.py > docs/directives.md"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_what_can_hold_a_decision_is_explained() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    shown = {"MaxRequestWorkers": "AtMaxRequestWorkers", "ServerLimit": "AtServerLimit"}
    shown |= {"Window": "Stabilizing", "NoHistory": "Stabilizing"}
    reasons = {shown.get(bound, bound) for bound in explain.BOUNDS} | explain.QUIET
    assert {reason for reason in reasons if f"`{reason}`" not in page} == set()
