"""A request is never taken for overdue by the time of the one before it, or by a limit of before."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

from mpm_worker.live import LiveSettings
from mpm_worker.scoreboard import READ, WRITE, Live, Scoreboard, Slot
from mpm_worker.stack import Stacks

if TYPE_CHECKING:
    import pytest


def test_its_begin_is_written_before_its_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled, the order is the same, but nothing can look in between."""
    board = Scoreboard(1, 1)
    slot = Slot(board, 0)
    slot.begin(READ)
    seen: list[int] = []

    def clock() -> float:
        seen.append(board.letters[0])
        return 1000.0

    monkeypatch.setattr("mpm_worker.scoreboard.time", SimpleNamespace(monotonic=clock))
    slot.request(b"GET /")
    assert seen == [READ]
    assert (board.letters[0], board.since[0]) == (WRITE, 1000.0)


def test_no_stack_is_logged_without_a_limit(capsys: pytest.CaptureFixture[str]) -> None:
    board = Scoreboard(1, 1)
    board.since[0] = time.monotonic() - 60

    def serve(slot: object, request: object, client: object) -> str:
        Stacks(serve.__code__, board, 0, LiveSettings(board.live)).log()
        return capsys.readouterr().err

    running = (
        SimpleNamespace(index=0),
        SimpleNamespace(method="GET", path="/x"),
        SimpleNamespace(connection=SimpleNamespace(given_id="a")),
    )
    board.live[Live.REQUEST_TIMEOUT] = 1000
    assert "GET /x in slot 0-0 has run for 60" in serve(*running)
    board.live[Live.REQUEST_TIMEOUT] = 0
    assert serve(*running) == ""
