"""What `status.conditions` says, and the troubles worth an Event: once an episode, with the number to raise.

Messages carry no number that moves with the load: a condition is written when it changes, and only then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from .explain import plural
from .grants import is_settling
from .plan import Condition, ConditionStatus, Note
from .sizing import SILENT_SHARE
from .survey import is_ending
from .victims import is_overdue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .effective import Correction
    from .grants import Grant
    from .memory import Memory
    from .sizing import Size
    from .snapshot import Snapshot
    from .survey import Survey

DEAF_SECONDS = 10.0
"""Pods that became ready, or an operator that started, get so long to be heard before it is a trouble."""
EPISODE_SECONDS = 10.0
"""A trouble that was absent for so long is over; a shorter pause belongs to the same episode."""
FACTS = frozenset({"RolledBack", "Conflict"})
"""Troubles that somebody's object makes and ends: they flicker with no load, and are over when they are."""


class Trouble(Struct, frozen=True):
    """Something wrong: the word of its condition and Event, and a sentence for who can mend it."""

    reason: str
    message: str
    number: int = 0
    """The value to raise a limit to; while it lasts the message follows it only when it has grown much."""


class Episode(Struct, frozen=True):
    """A trouble that lasts: when it was last seen, and as what it was told."""

    seen_at: float
    trouble: Trouble


def accepted(corrections: Sequence[Correction]) -> Condition:
    """Return the condition Accepted: true, with what was corrected."""
    if not corrections:
        return Condition("Accepted", ConditionStatus.TRUE, "Valid", "every directive takes effect as given")
    message = " ".join(f"{correction.field}: {correction.message}" for correction in corrections)
    return Condition("Accepted", ConditionStatus.TRUE, "Corrected", message)


def deaf_since(memory: Memory, seen: Survey, now: float) -> float | None:
    """Return since when so many pods are silent that nothing shrinks; None = enough are heard."""
    if seen.silent <= SILENT_SHARE * len(seen.accepting):
        return None
    return now if memory.deaf_since is None else memory.deaf_since


def troubles(
    snapshot: Snapshot, seen: Survey, size: Size, deaf: float | None, now: float
) -> dict[str, Trouble]:
    """Return the troubles of this moment by their names; `deaf` is `deaf_since`."""
    effective = snapshot.effective
    found: dict[str, Trouble] = {}
    if seen.accepting and seen.shown.idle == 0 and seen.queue > 0:
        found["Saturated"] = Trouble("QueueFormed", "no slot is idle and requests wait")
    if size.bound == "MaxRequestWorkers":
        needed = size.wanted * effective.slots_per_pod
        found["ScalingLimited"] = Trouble(
            "MaxRequestWorkersReached",
            f"server reached MaxRequestWorkers of {effective.max_request_workers}; raise maxRequestWorkers "
            f"to {needed} to let {plural(size.wanted, 'pod')} run, if their database bears it",
            needed,
        )
    elif size.bound == "ServerLimit":
        # Pods that end and roll take room as well: the limit itself is not enough for who is held back.
        needed = max(
            (size.wanted + 1) * effective.processes_per_pod,
            effective.server_limit + size.short * effective.processes_per_pod,
        )
        found["ScalingLimited"] = Trouble(
            "ServerLimitReached",
            f"ServerLimit of {effective.server_limit} servers is reached, ending and rolling pods included; "
            f"raise serverLimit to {needed} to let {plural(size.wanted, 'pod')} run beside those",
            needed,
        )
    elif size.bound == "PodsFailing":
        found["ScalingLimited"] = Trouble(
            "PodsFailing", "more pods fail than serve; no more are made until they start"
        )
    failing = [pod for pod in snapshot.pods if pod.trouble]
    if failing or not all(is_ending(pod) for pod in seen.broken):
        words = sorted({pod.trouble for pod in failing if pod.trouble})[:3]
        found["PodsFailing"] = Trouble(
            "PodsFailing",
            "; ".join(words) or "a pod is neither ready nor reachable: see `kubectl describe pod`",
        )
    if snapshot.rolled_back:
        found["RolledBack"] = Trouble("RolledBack", snapshot.rolled_back)
    if _overdue(snapshot, seen, now):
        found["DrainDeadline"] = Trouble(
            "DrainDeadlineExceeded",
            f"a pod still serves requests {effective.graceful_shutdown_timeout_seconds} s after it left the "
            "endpoints; it is told to end now, and has as long again; raise gracefulShutdownTimeoutSeconds "
            "if requests may take longer",
        )
    lasting = deaf is not None and now - deaf >= DEAF_SECONDS
    if lasting and seen.unheard == len(seen.accepting):
        found["Unreachable"] = Trouble(
            "ScoreboardsUnreachable",
            "no pod's admin port 9090 can be reached: does a NetworkPolicy keep the operator out?",
        )
    elif lasting:
        found["Silent"] = Trouble(
            "ScoreboardsSilent",
            "more than 30 % of the pods send no scoreboard; nothing shrinks until they do",
        )
    if snapshot.foreign_scaler and not snapshot.paused:
        found["Conflict"] = Trouble(
            "ScalingConflict",
            f"{snapshot.foreign_scaler} also writes the replicas of our Deployment; delete it, or let it "
            "target the WebServer's scale subresource",
        )
    return found


def _overdue(snapshot: Snapshot, seen: Survey, now: float) -> bool:
    pods = {pod.name: pod for pod in seen.victims}
    grace = snapshot.effective.graceful_shutdown_timeout_seconds
    return any(
        victim.name in pods and is_overdue(victim, pods[victim.name], grace, now)
        for victim in snapshot.memory.victims
    )


def episodes(
    before: Mapping[str, Episode], found: Mapping[str, Trouble], now: float
) -> tuple[dict[str, Episode], tuple[Note, ...]]:
    """Return the troubles that last, and a note for each that is new."""
    lasting = {
        name: old
        for name, old in before.items()
        if name not in FACTS - found.keys() and now - old.seen_at < EPISODE_SECONDS
    }
    notes = []
    for name, trouble in found.items():
        old = lasting.get(name)
        if old is None or old.trouble.reason != trouble.reason:
            notes.append(Note("Warning", trouble.reason, trouble.message))
            old = None
        same = old is not None and 0 < trouble.number <= old.trouble.number * 1.2
        lasting[name] = Episode(now, old.trouble if old is not None and same else trouble)
    return lasting, tuple(notes)


def conditions(
    snapshot: Snapshot,
    seen: Survey,
    lasting: Mapping[str, Episode],
    grants: Mapping[str, Grant],
) -> tuple[Condition, ...]:
    """Return every condition but Accepted, which belongs to who read the spec."""
    found = {name: episode.trouble for name, episode in lasting.items()}
    available = _available(snapshot, seen, found)
    progressing = _progressing(snapshot, seen, found, is_settling(grants))
    return (
        available,
        progressing,
        _scaling_active(snapshot, found),
        _limited(found),
        _saturated(found),
        _ready(snapshot, available, progressing, found),
    )


def _available(snapshot: Snapshot, seen: Survey, found: Mapping[str, Trouble]) -> Condition:
    serving = len(seen.accepting)
    least = _least(snapshot)
    if serving >= max(least, 1):
        return Condition("Available", ConditionStatus.TRUE, "PodsServing", "the least number of pods serves")
    if least == 0 and serving == 0:
        return Condition(
            "Available", ConditionStatus.FALSE, "ScaledToZero", "spec.replicas is 0: nothing serves"
        )
    if "PodsFailing" in found:
        return Condition("Available", ConditionStatus.FALSE, "PodsFailing", found["PodsFailing"].message)
    reason = "PodsStarting" if serving else "NoPodServes"
    return Condition(
        "Available", ConditionStatus.FALSE, reason, f"fewer pods serve than {plural(max(least, 1), 'pod')}"
    )


def _least(snapshot: Snapshot) -> int:
    manual = snapshot.manual_replicas
    least = snapshot.effective.min_replicas
    return least if manual is None else min(least, manual)


def _progressing(snapshot: Snapshot, seen: Survey, found: Mapping[str, Trouble], settling: bool) -> Condition:
    for name in ("RolledBack", "PodsFailing"):
        if name in found:
            return Condition("Progressing", ConditionStatus.FALSE, found[name].reason, found[name].message)
    if snapshot.rolling:
        return Condition(
            "Progressing", ConditionStatus.TRUE, "RollingOut", "pods are replaced by a new template"
        )
    if seen.coming:
        return Condition("Progressing", ConditionStatus.TRUE, "PodsStarting", "pods start")
    if "DrainDeadline" in found:
        trouble = found["DrainDeadline"]
        return Condition("Progressing", ConditionStatus.TRUE, trouble.reason, trouble.message)
    if seen.victims:
        return Condition("Progressing", ConditionStatus.TRUE, "PodsDraining", "pods drain before they go")
    if settling and not snapshot.paused:
        text = "not every pod shows the changed settings on its scoreboard yet"
        return Condition("Progressing", ConditionStatus.TRUE, "SettingsChanging", text)
    return Condition("Progressing", ConditionStatus.FALSE, "Settled", "nothing starts, drains or rolls")


def _scaling_active(snapshot: Snapshot, found: Mapping[str, Trouble]) -> Condition:
    def inactive(reason: str, message: str) -> Condition:
        return Condition("ScalingActive", ConditionStatus.FALSE, reason, message)

    if snapshot.paused:
        return inactive("Paused", "spec.paused is true: observed and reported, nothing is changed")
    if "Conflict" in found:
        return inactive("ScalingConflict", found["Conflict"].message)
    if snapshot.manual_replicas is not None:
        return inactive(
            "ManualReplicas",
            f"spec.replicas is {snapshot.manual_replicas}: that many pods, and only threads are tuned; to "
            f"scale by the scoreboard again: {_unset_replicas(snapshot)}",
        )
    if "Unreachable" in found:
        return inactive("ScoreboardsUnreachable", found["Unreachable"].message)
    message = "httpd's band of spare slots" if snapshot.effective.band else "the offered load"
    return Condition("ScalingActive", ConditionStatus.TRUE, "Scoreboards", f"pods follow {message}")


def _unset_replicas(snapshot: Snapshot) -> str:
    if not snapshot.name:
        return "remove `replicas` from the spec"
    patch = '[{"op":"remove","path":"/spec/replicas"}]'
    return f"kubectl patch webserver {snapshot.name} -n {snapshot.namespace} --type=json -p='{patch}'"


def _limited(found: Mapping[str, Trouble]) -> Condition:
    trouble = found.get("ScalingLimited")
    if trouble is not None:
        return Condition("ScalingLimited", ConditionStatus.TRUE, trouble.reason, trouble.message)
    return Condition("ScalingLimited", ConditionStatus.FALSE, "WithinLimits", "no limit holds growth")


def _saturated(found: Mapping[str, Trouble]) -> Condition:
    trouble = found.get("Saturated")
    if trouble is not None:
        return Condition("Saturated", ConditionStatus.TRUE, trouble.reason, trouble.message)
    return Condition("Saturated", ConditionStatus.FALSE, "SlotsIdle", "requests find idle slots")


def _ready(
    snapshot: Snapshot, available: Condition, progressing: Condition, found: Mapping[str, Trouble]
) -> Condition:
    """Return whether the pods serve what the spec asks for.

    Pods that fail are in the way of a rollout. Beside enough others, one without a node, or one that was out
    of memory, is told in Progressing: who waits for Ready waits for the spec, not for every pod.
    """
    if available.status is not ConditionStatus.TRUE:
        return Condition("Ready", ConditionStatus.FALSE, available.reason, available.message)
    in_the_way = ["RolledBack", "Conflict", "Unreachable", *(["PodsFailing"] if snapshot.rolling else [])]
    for name in in_the_way:
        if name in found:
            return Condition("Ready", ConditionStatus.FALSE, found[name].reason, found[name].message)
    reason = progressing.reason if progressing.status is ConditionStatus.TRUE else "Serving"
    return Condition("Ready", ConditionStatus.TRUE, reason, "the pods serve")
