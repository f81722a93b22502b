"""Control calls that were sent and are not seen in force yet.

Nobody knows whether such a call arrived, so a pod counts with the most that it may have by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .snapshot import Report

Setting = int | float | bool

RESEND_SECONDS = 1.0
"""A control call whose effect is not seen is repeated after so long."""
GIVE_UP_SECONDS = 5.0
"""After so long the values alone prove a control call, for pods whose sequence number does not move."""
REFUSED_SECONDS = 30.0
"""What a pod answered with 400 is asked again after so long: it would say the same."""


class Grant(Struct, frozen=True):
    """A control call that was sent and not seen in force yet."""

    boot: str
    sequence: int
    """The pod's sequence number when it was sent; the call moves it on."""
    ceiling: int
    """The highest ceiling that may be in force meanwhile."""
    sent_at: float
    changes: Mapping[str, Setting]
    servers: int = 0
    """The most servers that may be in force meanwhile."""
    refused: bool = False
    """The pod answered that it can't: nothing of it will ever be in force."""


def refuse(grants: Mapping[str, Grant], pods: Collection[str]) -> dict[str, Grant]:
    """Return the grants after `pods` answered that they can't: their claims are what they show again."""
    return {
        name: replace(grant, ceiling=0, servers=0, refused=True) if name in pods else grant
        for name, grant in grants.items()
    }


def is_open(grant: Grant, report: Report, now: float) -> bool:
    """Return whether its effect was not seen in this life of the pod."""
    if grant.boot != report.boot:
        return False
    if any(_live(report, name) != value for name, value in grant.changes.items()):
        return True
    return report.sequence <= grant.sequence and now - grant.sent_at <= GIVE_UP_SECONDS


def _live(report: Report, name: str) -> Setting | None:
    return report.threads_ceiling if name == "threadsCeiling" else report.settings.get(name)


def may_send(last: Grant | None, changes: Mapping[str, Setting], now: float) -> bool:
    """Return whether to send `changes`: not again what was just sent and may be on its way."""
    if last is None or last.changes != changes:
        return True
    return now - last.sent_at >= (REFUSED_SECONDS if last.refused else RESEND_SECONDS)


def is_settling(grants: Mapping[str, Grant]) -> bool:
    """Return whether a setting was sent that no scoreboard shows yet; ceilings are no setting."""
    return any(not grant.refused and grant.changes.keys() - {"threadsCeiling"} for grant in grants.values())


def sent(grants: Mapping[str, Grant], pod: str) -> Mapping[str, Setting]:
    """Return the changes that may be in force without having been seen."""
    grant = grants.get(pod)
    return {} if grant is None or grant.refused else grant.changes
