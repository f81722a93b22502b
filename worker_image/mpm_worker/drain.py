"""The end of a pod: accept for the delay, empty the backlog, let requests finish, cut at the deadline.

The door stays open for longer while connections still arrive: a proxy may hear late that the pod goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpm_worker.say import say
from mpm_worker.scoreboard import Live, Phase

if TYPE_CHECKING:
    from mpm_worker.brood import Brood
    from mpm_worker.listeners import Listeners
    from mpm_worker.observe import Arrivals
    from mpm_worker.scoreboard import Scoreboard

_QUIET = 2.0
"""Seconds without a new connection that tell that every proxy has forgotten the pod."""
_LATEST = 30.0
"""The longest that this is waited for: who still comes then is no proxy's doing."""
_SETTLE = 0.2
"""The backlog must stay empty for so long: then handshakes that had begun when the door was shut are done."""
_OPEN_DOOR = 2.0
"""Longest time to find the backlog empty where the door cannot be shut and clients keep coming."""
_FOR_EVER = 3600.0
"""Seconds that a graceful timeout of 0 stands for."""


class Drain:
    """Has four moments: its begin, the end of the delay, the door that shuts, and the deadline."""

    def __init__(self, brood: Brood, board: Scoreboard, listeners: Listeners, arrivals: Arrivals) -> None:
        self._brood, self._board, self._listeners, self._arrivals = brood, board, listeners, arrivals
        self.begun = False
        self._accept_until = self._shut_by = 0.0
        self._deadline = 0.0
        self._empty_since = 0.0
        self._give_up_at = 0.0
        self._cut = False

    @property
    def over(self) -> bool:
        return self.begun and not self._brood.processes

    @property
    def open(self) -> bool:
        """Whether who is new still comes in."""
        return self.begun and not self._empty_since and not self._brood.ending

    def begin(self, accept_until: float, graceful_seconds: float, *, patient: bool) -> None:
        """:param patient: go on accepting after the delay while connections still arrive

        That takes at most half of the graceful timeout: the last to come need the other half.
        """
        graceful = graceful_seconds or _FOR_EVER
        # The siblings that share a listener serve who arrives there.
        wait = min(graceful / 2, _LATEST) if patient and not self._listeners.shared else 0.0
        self.begun = True
        self._accept_until, self._shut_by = accept_until, accept_until + wait
        self._deadline = accept_until + graceful

    def step(self, now: float) -> None:
        """What is due at this moment."""
        if not self.begun or self._cut:
            return
        if now >= self._deadline:
            say("the graceful timeout has passed, what is left is cut")
            for process in self._brood.processes.values():
                process.why = "deadline"
            self.cut()
        elif not self._brood.ending and (self._empty_since or self._may_shut(now)):
            self._empty_the_backlog(now)

    def _may_shut(self, now: float) -> bool:
        if now < self._accept_until:
            return False
        quiet = now - self._arrivals.last >= _QUIET and not self._listeners.own_depth()
        return quiet or now >= self._shut_by

    def _empty_the_backlog(self, now: float) -> None:
        # A backlog that others share is theirs to empty.
        shared = self._listeners.shared
        if not self._empty_since:
            shut = self._listeners.shut_the_door()
            self._empty_since = now
            self._give_up_at = self._deadline if shut else now + _OPEN_DOOR
        if self._listeners.own_depth():
            self._empty_since = now
        if shared or now - self._empty_since >= _SETTLE or now >= self._give_up_at:
            self._finish()

    def _finish(self) -> None:
        """Accept nothing more; a process that is still importing has nothing to finish."""
        self._brood.ending = True
        self._board.live[Live.PHASE] = Phase.FINISHING
        for process in self._brood.processes.values():
            self._brood.end_if_importing(process)
        self._brood.wake_all()
        self._listeners.close()

    def cut(self) -> None:
        """End at once whatever still runs."""
        self.begun = self._cut = True
        self._finish()
        for process in self._brood.processes.values():
            self._brood.kill(process)
