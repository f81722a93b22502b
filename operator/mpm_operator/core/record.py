"""Decisions kept with their inputs: to be explained later, and made again from a file.

What is kept are decisions that changed something; between them the planner said the same thing once a second.
"""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from . import values
from .planner import plan as make_plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .plan import Decision, Plan
    from .snapshot import Snapshot

KEPT = 1000
"""Decisions that are kept."""
KEPT_PODS = 10_000
"""Pods in their snapshots, all together; large WebServers leave fewer decisions."""
FORMAT = "mpm-decisions/1"


class Record(Struct, frozen=True):
    """One decision: what was seen, and what was planned (without the plan's memory)."""

    name: str
    """NAMESPACE/NAME, or the name alone on one machine."""
    at: float
    """Seconds since 1970, for people; of a simulation seconds of its trace."""
    now: float
    """The planner's clock."""
    snapshot: Snapshot
    plan: Plan


class Latest(Struct, frozen=True):
    """The last plan of a WebServer, changed or not."""

    at: float
    desired: int
    decision: Decision


class Ring:
    """The last decisions of all WebServers, and what is in force of each."""

    def __init__(self, kept: int = KEPT, pods: int = KEPT_PODS) -> None:
        self._kept, self._most_pods = kept, pods
        self._records: deque[Record] = deque()
        self._pods = 0
        self.latest: dict[str, Latest] = {}

    def add(self, name: str, at: float, now: float, snapshot: Snapshot, plan: Plan) -> None:
        """Keep the decision when it changed something."""
        self.latest[name] = Latest(at, plan.desired, plan.decision)
        if not changes(snapshot, plan):
            return
        self._records.append(Record(name, at, now, snapshot, replace(plan, memory=None)))
        self._pods += len(snapshot.pods)
        while len(self._records) > self._kept or (self._pods > self._most_pods and len(self._records) > 1):
            self._pods -= len(self._records.popleft().snapshot.pods)

    def of(self, name: str | None = None) -> list[Record]:
        """Return the decisions of a WebServer, or all; the oldest first."""
        return [record for record in self._records if name in (None, record.name)]

    def forget(self, name: str) -> None:
        """Forget what is in force of a WebServer that is gone; its decisions stay while there is room."""
        self.latest.pop(name, None)


def changes(snapshot: Snapshot, plan: Plan) -> bool:
    """Return whether the plan says or does something that the one before it did not."""
    memory = snapshot.memory
    return (
        memory.said is None
        or memory.said.reason != plan.decision.reason
        or memory.desired != plan.desired
        or snapshot.replicas != plan.replicas
        or plan.memory is None
        or memory.tuning.threads != plan.memory.tuning.threads
    )


def dump(records: Iterable[Record], latest: dict[str, Latest]) -> str:
    """Return the decisions as JSON; `load` reads it."""
    return json.dumps(
        {
            "format": FORMAT,
            "latest": {name: values.write(said) for name, said in latest.items()},
            "decisions": [values.write(record) for record in records],
        }
    )


def load(text: str) -> tuple[list[Record], dict[str, Latest]]:
    """Return what `dump` was given. Raises BadValue."""
    try:
        document: Any = json.loads(text)
    except ValueError as error:
        raise values.BadValue(f"expected JSON of `mpm` with format {FORMAT}: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise values.BadValue(f"format: expected {FORMAT}")
    records = values.read(list[Record], document.get("decisions"), "decisions")
    return records, values.read(dict[str, Latest], document.get("latest"), "latest")


def replay(record: Record) -> str:
    """Make the decision again; return the first difference from what was recorded, or nothing."""
    again = values.write(replace(make_plan(record.snapshot, record.now), memory=None))
    before = values.write(record.plan)
    for name, value in before.items():
        if again[name] != value:
            return f"{name}: recorded {value!r}, now {again[name]!r}"
    return ""
