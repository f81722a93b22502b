"""Where an overdue request stands: the stack of its thread, from the application on.

Nothing is kept for it while requests run: the frames themselves say which thread is in which slot.
"""

from __future__ import annotations

import sys
import time
import traceback
from typing import TYPE_CHECKING

from mpm_worker.requestid import request_id
from mpm_worker.say import say

if TYPE_CHECKING:
    from types import CodeType, FrameType

    from mpm_worker.live import LiveSettings
    from mpm_worker.scoreboard import Scoreboard


class Stacks:
    """Logs each overdue request once.

    :param serve: the code that runs a request; it has the locals `client`, `request` and `slot`
    """

    def __init__(self, serve: CodeType, board: Scoreboard, row: int, live: LiveSettings) -> None:
        self._serve, self._board, self._row, self._live = serve, board, row, live
        self._told: dict[int, float] = {}
        """Slot → when its request began."""

    def log(self) -> None:
        if not self._live.request_timeout:
            return  # taken back since we were asked
        now = time.monotonic()
        for frame in sys._current_frames().values():
            frames, caller = self._split(frame)
            if caller is None:
                continue
            slot, request = caller.f_locals["slot"], caller.f_locals["request"]
            began = self._board.since[slot.index]
            if now - began < self._live.request_timeout or self._told.get(slot.index) == began:
                continue
            self._told[slot.index] = began
            name = f"[{request_id(caller.f_locals['client'].connection)}] {request.method} {request.path}"
            place = f"{self._row}-{slot.index % self._board.threads}"
            text = "".join(traceback.StackSummary.extract(iter(frames[::-1])).format())
            say(f"{name} in slot {place} has run for {now - began:.1f} s and is here:\n{text.rstrip()}")

    def _split(self, frame: FrameType | None) -> tuple[list[tuple[FrameType, int]], FrameType | None]:
        """The frames below the one that serves, innermost first, and that one."""
        frames = []
        while frame is not None and frame.f_code is not self._serve:
            frames.append((frame, frame.f_lineno))
            frame = frame.f_back
        return frames, frame
