"""What is to be done: the planner's whole output, field by field.

Order matters: controls that lower ceilings make room, so they and the resumes beside them come first; then
quiesces, deletion costs, replicas, controls that raise ceilings, rebalances. An executor may raise replicas
before all of it, for new pods take only what was seen free. A pod that does not take its call need not hold
up the others: only a ceiling that was not lowered forbids to raise any, and a deletion cost that was not
written to lower replicas. Every step may be repeated without harm.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .memory import Memory

VICTIM_COST = -1000
"""Value of `controller.kubernetes.io/pod-deletion-cost` on drained pods."""

QUIESCE_TTL_SECONDS = 30
"""A quiesced pod serves again by itself when the operator did not renew for so long."""

IDLE_WITHIN_SECONDS = 2.0
"""So long a pod looks for a moment without a request: until the next plan, lest a quiesce comes late."""


class Control(Struct, frozen=True):
    """One `PUT /control` for one pod."""

    pod: str
    changes: Mapping[str, int | float | bool]


class Rebalance(Struct, frozen=True):
    """One `POST /control/rebalance` for one pod: let go of `share` (0..1) of its connections."""

    pod: str
    share: float


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Struct, frozen=True):
    """A condition of `status.conditions`, without its times (the writer adds them)."""

    type: str
    status: ConditionStatus
    reason: str
    message: str


class Decision(Struct, frozen=True):
    """Why the number of pods or threads is what it is: the sentence users read."""

    reason: str
    """CamelCase, few different ones: see `explain.py`."""
    message: str
    chain: tuple[str, ...] = ()
    """Inputs, law, bound that held it, until when: one sentence each."""


class Note(Struct, frozen=True):
    """Something worth an Event, once: severity `Normal` or `Warning`."""

    severity: str
    reason: str
    message: str


class Totals(Struct, frozen=True):
    """The slots of the whole WebServer, as shown in `status.workers`."""

    busy: int = 0
    idle: int = 0
    total: int = 0
    queue: int = 0


class Plan(Struct, frozen=True):
    """What is to be done now, and when to plan again."""

    desired: int
    """Pods wanted in the end; `replicas` follows when victims have drained."""
    replicas: int
    """What the Deployment shall ask for now."""
    lower: tuple[Control, ...] = ()
    resume: tuple[str, ...] = ()
    quiesce: tuple[str, ...] = ()
    """Victims: to be quiesced, or their TTL renewed."""
    patient: tuple[str, ...] = ()
    """Of these, the ones to quiesce at a moment without a request, within IDLE_WITHIN_SECONDS; else they are
    asked again by the next plan."""
    victims: tuple[str, ...] = ()
    """Drained victims that get the deletion cost before `replicas` is lowered by them."""
    pardoned: tuple[str, ...] = ()
    """Pods that carry a deletion cost and are no victims (any more): it is taken off."""
    controls: tuple[Control, ...] = ()
    """Controls that raise, and settings to be mended."""
    rebalance: tuple[Rebalance, ...] = ()
    totals: Totals = field(default_factory=Totals)
    threads_per_child: int = 1
    conditions: tuple[Condition, ...] = ()
    decision: Decision = field(default_factory=lambda: Decision("Steady", ""))
    notes: tuple[Note, ...] = ()
    memory: Memory | None = None
    due: float = 0.0
    """Time at which to plan again at the latest."""
