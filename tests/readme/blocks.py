"""The shell commands of a page of documentation, each block with the word that says how it is tested."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"(?:<!-- test: (?P<how>\w+) -->\n)?```sh\n(?P<commands>.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One block of commands."""

    how: str
    """`local`: serves on port 8080 until interrupted; `images`, `cluster`; `itself`: the tests; else none."""
    commands: tuple[str, ...]


def blocks(page: str) -> list[Block]:
    """The blocks of `page` (a path in the repository), in their order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(found["how"] or "", tuple(found["commands"].strip().splitlines()))
        for found in _BLOCK.finditer(text)
    ]
