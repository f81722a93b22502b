"""The prefork model: many processes, one request at a time in each, in its main thread.

The application shares its process with nobody, so it need not be thread-safe and may use signals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpm_worker.mpm.worker import Worker
from mpm_worker.scoreboard import DEAD

if TYPE_CHECKING:
    from mpm_worker.child import Child


class Prefork(Worker):
    """Worker's one thread, run by the process itself."""

    def __init__(self, child: Child) -> None:
        super().__init__(child)
        self._alive = 1

    def run(self) -> None:
        slot = self._child.board.slot(self._child.row, 0)
        slot.release()
        self._child.serving()
        self.work(slot)
        slot.release(DEAD)
