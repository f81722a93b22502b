"""What the pod does as a whole: it starts, serves, is quiesced, or stops. Every response depends on it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from mpm_worker.say import say
from mpm_worker.scoreboard import Live, Phase

if TYPE_CHECKING:
    from mpm_worker.supervisor import Supervisor


class _Waiting(NamedTuple):
    """A quiesce that waits for an idle moment."""

    until: float
    seconds: float
    """How long the pod then stays quiesced."""


class Phases:
    """Changed by control calls and signals, and by time as the supervisor looks."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor, self._drain, self._brood = supervisor, supervisor.drain, supervisor.brood
        self._quiesced_at = self._quiesced_until = 0.0
        self._waiting: _Waiting | None = None
        self._drained = False

    @property
    def state(self) -> str:
        if self._drain.begun:
            return "Stopping"
        if not self._brood.ready():
            return "Starting"
        if self._quiesced_at:
            return "Drained" if self._drained else "Quiescing"
        return "Serving"

    @property
    def accepting(self) -> bool:
        """Whether idle slots are spare ones."""
        return not self._quiesced_at and not self._drain.begun

    @property
    def ready(self) -> bool:
        """What /readyz says; while stopping still yes, until the door is shut."""
        if self._drain.begun:
            return self._drain.open and not self._quiesced_at and self._brood.ready()
        return self.state == "Serving"

    @property
    def waiting(self) -> bool:
        """Whether the next idle moment is awaited."""
        return self._waiting is not None

    # -- what is asked for

    def quiesce(self, seconds: float, idle_within: float = 0.0) -> bool:
        """Leave readiness and let go of every connection that has a response to say it in; for so long.

        With `idle_within` at the first moment within so many seconds without a request, and not at all when
        none comes. Returns whether it is quiesced now.
        """
        now = time.monotonic()
        self._waiting = None
        if idle_within and not self._quiesced_at:
            self._waiting = _Waiting(now + idle_within, seconds)
            self._supervisor.refresh(now)
            self.quiesce_when_idle(now)
            self._supervisor.soon()
        else:
            self._quiesce(now, seconds)
        return bool(self._quiesced_at)

    def _quiesce(self, now: float, seconds: float) -> None:
        first, self._quiesced_at = not self._quiesced_at, self._quiesced_at or now
        self._quiesced_until = now + seconds
        if first:
            self._publish()
            self._supervisor.measure()
            self._supervisor.edge("Quiesced", now)

    def resume(self) -> None:
        self._quiesced_at = self._quiesced_until = 0.0
        self._waiting = None
        self._drained = False
        if not self._drain.begun:
            self._publish()
            self._supervisor.measure()

    def stop(self) -> None:
        """Drain and end. Who was quiesced for longer than the drain delay has had it already.

        Without a delay there is no proxy whose word could be late: nothing is awaited.
        """
        if not self._drain.begun:
            supervisor = self._supervisor
            now, delay = time.monotonic(), supervisor.options.drain_delay
            accept_until = max(now, (self._quiesced_at or now) + delay)
            graceful = supervisor.settings.gracefulShutdownTimeoutSeconds
            self._drain.begin(accept_until, graceful, patient=delay > 0)
            self._publish()
            supervisor.emit("")

    def _publish(self) -> None:
        if not self._brood.ending:
            phase = Phase.SERVING if self.accepting else Phase.LETTING_GO
            self._supervisor.board.live[Live.PHASE] = phase
        self._brood.wake_all()
        self._supervisor.soon()

    # -- what time brings

    def lapse(self, now: float) -> None:
        """Serve again when nobody has renewed the quiesce."""
        if self._quiesced_until and now >= self._quiesced_until and not self._drain.begun:
            say("the quiesce has lapsed, serving again")
            self.resume()

    def quiesce_when_idle(self, now: float) -> None:
        """Now, if that is what was waited for."""
        waiting, load = self._waiting, self._supervisor.load
        if waiting is None:
            return
        if now >= waiting.until or self._drain.begun:
            self._waiting = None
        elif not (load.served or load.queue):
            self._waiting = None
            self._quiesce(now, waiting.seconds)

    def find_drained(self, now: float) -> None:
        """Tell when the last connection of a quiesced pod has gone."""
        drained = bool(self._quiesced_at) and self._empty()
        if drained and not self._drained:
            self._drained = True
            self._supervisor.edge("Drained", now)
        self._drained = drained

    def _empty(self) -> bool:
        """Whether nobody is here, and nobody waits who would be ours alone to serve."""
        load = self._supervisor.load
        ours = load.queue - load.backlog.depth + self._supervisor.listeners.own_depth()
        return not (load.connections or load.busy or ours)
