"""Sections of bench/RESULTS.md, each written by one command between its own marks."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path

PAGE = Path(__file__).with_name("RESULTS.md")


def write(name: str, text: str, page: Path = PAGE) -> None:
    """Put `text` between the marks of the section `name`; a new section goes to the end."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    section = f"{begin}\n{text.strip()}\n{end}\n"
    old = page.read_text()
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end) + "\n", re.S)
    found = pattern.search(old)
    page.write_text(
        f"{old.rstrip()}\n\n{section}"
        if found is None
        else old[: found.start()] + section + old[found.end() :]
    )


def machine() -> str:
    """When and where: what a figure means nothing without."""
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return (
        f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}, {os.cpu_count()} × "
        f"{names[0] if names else platform.machine()}, Linux {platform.release()}, "
        f"Python {platform.python_version()}; {os.getloadavg()[2]:.1f} processes wanted to run on average "
        "over 15 minutes (above 2, other work disturbed the times)"
    )
