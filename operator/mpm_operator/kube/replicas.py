"""Whose number it is: replicas that somebody else wrote into our Deployment are told, not only put right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpm_operator.core.plan import Note

from .observe import replicas_of
from .resources import name_of, uid_of

if TYPE_CHECKING:
    from .resources import Object


@dataclass(frozen=True, slots=True)
class Left:
    """What may be in a Deployment after a turn of this process, if nobody else writes."""

    uid: str
    found: int
    asked: int
    """What the turn wanted: whether its write arrived is not asked, an answer may be lost."""

    @classmethod
    def of(cls, deployment: Object | None, asked: int) -> Left | None:
        return cls(uid_of(deployment), replicas_of(deployment), asked) if deployment is not None else None

    def overwritten(self, deployment: Object | None) -> Note | None:
        """Return the Event for replicas that nobody of us wrote."""
        if deployment is None or uid_of(deployment) != self.uid:
            return None
        now, name = replicas_of(deployment), name_of(deployment)
        if now in (self.found, self.asked):
            return None
        return Note(
            "Warning",
            "ReplicasOverwritten",
            f"somebody set the replicas of Deployment `{name}` from {self.asked} to {now}; they follow the "
            f"WebServer: to hold a number of pods set its spec.replicas (kubectl scale webserver/{name})",
        )
