"""A request that lasts as long as a test needs, however slow the machine is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Gate:
    """What the application of tests/worker/apps/paths.py waits for at `path`: that `file` is there."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.path = f"/until{file}"

    def open(self) -> None:
        self._file.touch()
