"""The settings of a running worker, as its processes see them."""

from __future__ import annotations

from mpm_worker.http import Limits
from mpm_worker.scoreboard import Live

_TIMEOUT = int(Live.TIMEOUT)


class LiveSettings:
    """The settings that control can change, read from shared memory at each use. Times are seconds."""

    def __init__(self, cells: memoryview[int]) -> None:
        self._cells = cells
        self._limits = Limits()

    @property
    def timeout(self) -> float:
        return self._cells[_TIMEOUT] / 1000

    @property
    def keep_alive_timeout(self) -> float:
        return self._cells[Live.KEEP_ALIVE_TIMEOUT] / 1000

    @property
    def request_timeout(self) -> float:
        """Longest that a request may run; 0: as long as it likes."""
        return self._cells[Live.REQUEST_TIMEOUT] / 1000

    @property
    def max_rss(self) -> int:
        """Bytes; 0: any number of them, -1: what the memory limit leaves."""
        return self._cells[Live.MAX_RSS]

    @property
    def threads(self) -> int:
        return self._cells[Live.THREADS]

    @property
    def async_factor(self) -> float:
        return self._cells[Live.ASYNC_FACTOR] / 1000

    @property
    def limits(self) -> Limits:
        body = self._cells[Live.LIMIT_REQUEST_BODY] or 1 << 62
        if body != self._limits.body:
            self._limits = Limits(body=body)
        return self._limits
