"""Why the number of pods is what it is: sentences that status, events, metrics and `mpm explain` share."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from msgspec.structs import replace

from .plan import Decision, Note
from .snapshot import PodPhase

if TYPE_CHECKING:
    from .law import Need
    from .maintenance import Spawn
    from .memory import Memory
    from .sizing import Base, Size
    from .snapshot import Snapshot
    from .startup import Startups
    from .survey import Survey

BOUNDS = {
    "MaxRequestWorkers": "MaxRequestWorkers of {max_request_workers} allows {max_pods} pods",
    "ServerLimit": "ServerLimit of {server_limit} servers leaves no room, ending and rolling pods included",
    "PodsFailing": "more pods fail than serve, and more of what cannot start does not help",
    "Ceilings": "other pods' thread ceilings are lowered first, to keep within MaxRequestWorkers",
    "Window": "needed within the last {window} s",
    "NoHistory": "less than {window} s of history: nothing shrinks yet",
    "SilentPods": "{silent} of {accepting} pods are silent, so the load is not known: nothing shrinks",
    "RollingOut": "a rollout is unfinished: nothing shrinks",
    "Draining": "other pods still drain",
}

BUSY_RATE = 8
"""A spawn rate from which httpd says that it seems busy."""


def plural(count: int, what: str) -> str:
    """Return e.g. `1 pod`, `2 pods`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def decision(
    snapshot: Snapshot,
    seen: Survey,
    base: Base,
    startups: Startups,
    need: Need,
    size: Size,
    desired: int,
    now: float,
) -> Decision:
    """Return the reason in a word, the sentence, and its chain: inputs, law, bound, until when."""
    bound = _bound(snapshot, seen, size)
    reason, message = _headline(snapshot, base, need, size, desired)
    chain = [_inputs(seen, base, startups, now), *_threads(snapshot), need.why]
    if bound:
        chain.append(f"held by {size.bound}: {bound}")
    until = _until(snapshot, size, now)
    if until:
        chain.append(until)
    return Decision(reason, f"{message}{'; ' + bound if bound else ''}", tuple(chain))


def _inputs(seen: Survey, base: Base, startups: Startups, now: float) -> str:
    waiting = f", {seen.queue} waiting" if seen.queue else ""
    verb = "accepts" if len(seen.accepting) == 1 else "accept"
    parts = [
        f"{plural(len(seen.accepting), 'pod')} {verb} with {seen.slots} slots, {seen.busy} busy{waiting}"
    ]
    for count, what in (
        (base.coming, f"start{_ready_in(seen, startups, now)}"),
        (len(seen.victims), "drain"),
        (len(seen.terminating), "end"),
        (len(seen.broken), "fail"),
        (seen.silent, "are silent"),
    ):
        if count:
            parts.append(f"{count} {what}")
    return "; ".join(parts)


def _ready_in(seen: Survey, startups: Startups, now: float) -> str:
    """Return when the next of the starting pods should be ready, by what the others took."""
    begun = [pod.created_at for pod in seen.starting if pod.phase is PodPhase.STARTING]
    if not startups.known or not begun:
        return ""
    usual = startups.usual
    left = min(begun) + usual - now
    if left > 0:
        return f", ready in about {ceil(left)} s"
    return f", which took {usual:.0f} s for others and takes {usual - left:.0f} s already"


def _threads(snapshot: Snapshot) -> list[str]:
    """Return what ThreadsPerChild and the memory limit say, where they were not simply given."""
    effective, memory = snapshot.effective, snapshot.memory
    said = []
    if effective.threads_tuned:
        said.append(
            memory.tuning.why
            or f"ThreadsPerChild is {effective.threads_per_child} until the requests tell what they compute"
        )
    slots = memory.footprint.slots
    if slots and effective.thread_limit * effective.processes_per_pod >= slots:
        each = memory.footprint.slot_bytes / 2**20
        said.append(f"memory allows {slots} slots a pod, {each:.1f} MiB each")
    return said


def _headline(snapshot: Snapshot, base: Base, need: Need, size: Size, desired: int) -> tuple[str, str]:
    pods = plural(desired, "pod")
    if snapshot.paused:
        return "Paused", f"{pods}: spec.paused is true, nothing is changed"
    if snapshot.foreign_scaler:
        return "ScalingConflict", f"{pods}: {snapshot.foreign_scaler} also writes the replicas"
    if snapshot.manual_replicas is not None:
        return "ManualReplicas", f"{pods}: spec.replicas is {snapshot.manual_replicas}"
    if size.bound in ("MaxRequestWorkers", "ServerLimit", "PodsFailing"):
        return f"At{size.bound}" if size.bound != "PodsFailing" else size.bound, f"{pods}: {need.why}"
    if base.pods > snapshot.effective.max_pods:
        return "OverMaxRequestWorkers", f"{pods}: MaxRequestWorkers was lowered"
    if desired > base.pods:
        return need.reason, f"{base.pods} to {pods}: {need.why}"
    if desired < base.pods:
        return need.reason, f"{base.pods} to {pods}: {need.why}"
    if size.bound:
        return "Stabilizing" if size.bound in ("Window", "NoHistory") else size.bound, f"{pods}: {need.why}"
    return "Steady", f"{pods}: {need.why}"


def _bound(snapshot: Snapshot, seen: Survey, size: Size) -> str:
    if not size.bound:
        return ""
    effective = snapshot.effective
    return BOUNDS[size.bound].format(
        max_request_workers=effective.max_request_workers,
        max_pods=effective.max_pods,
        server_limit=effective.server_limit,
        window=effective.scale_down_stabilization_seconds,
        silent=seen.silent,
        accepting=len(seen.accepting),
    )


def patience(pods: int, seconds: float) -> str:
    """Return what victims wait for that serve on."""
    verb = "waits" if pods == 1 else "wait"
    return (
        f"{plural(pods, 'victim')} {verb} for a moment without a request, {max(0.0, seconds):.0f} s at most"
    )


def _until(snapshot: Snapshot, size: Size, now: float) -> str:
    window = snapshot.effective.scale_down_stabilization_seconds
    memory = snapshot.memory
    if size.bound == "NoHistory":
        return f"until {memory.started_at + window - now:.0f} s from now"
    if size.bound == "Window" and memory.peaks:
        return f"until {max(0.0, memory.peaks[0][0] + window - now):.0f} s from now, if the load stays low"
    return ""


QUIET = frozenset({"Steady", "Stabilizing", "Draining", "SilentPods", "RollingOut", "Ceilings"})
"""Reasons under which nothing changes."""
QUIET_SECONDS = 15.0
"""One quiet reason replaces another after so long: near a bound they would alternate for ever."""
BY_HAND = frozenset({"Paused", "ManualReplicas", "ScalingConflict"})
"""Reasons that somebody gives and takes away: nothing of them is left to be read afterwards."""
REASONS = (
    QUIET
    | BY_HAND
    | {"SpareThreadsLow", "SpareServersLow", "SpareThreadsHigh", "SpareServersHigh"}
    | {"LoadRose", "LoadFell", "QueueFormed", "BacklogOverflows", "PodsFailing", "Created", "Restored"}
    | {"AtMaxRequestWorkers", "AtServerLimit", "OverMaxRequestWorkers"}
)
"""All reasons of decisions."""


def settle(
    memory: Memory, current: Decision, desired: int, now: float
) -> tuple[Decision, tuple[str, float] | None]:
    """Return the decision to show, and what may replace it later.

    Its words keep the figures of the moment they were true first: `status.decision` is written when the
    decision changes, not when the load does. The chain is of this moment.
    """
    said = memory.said
    if (
        said is None
        or memory.desired != desired
        or (said.reason in BY_HAND and said.reason != current.reason)
    ):
        return current, None
    if said.reason == current.reason:
        return replace(current, message=said.message), None
    pending = memory.pending
    if pending is None or pending[0] != current.reason:
        pending = (current.reason, now)
    if current.reason in QUIET and now - pending[1] < QUIET_SECONDS:
        return replace(said, chain=current.chain), pending
    return current, None


def notes(memory: Memory, said: Decision, pods: int, desired: int, spawn: Spawn) -> tuple[Note, ...]:
    """Return the Event of a change of the number of pods, with httpd's warning when it grows fast.

    A growth that is called off before there was room for it changes nothing of the `pods` there are.
    """
    before = memory.desired
    if before is None or before == desired or pods == desired or (desired < before) != (desired < pods):
        return ()
    if desired < before:
        return (Note("Normal", "ScaledDown", said.message),)
    found = [Note("Normal", "ScaledUp", said.message)]
    if spawn.rate > BUSY_RATE:
        found.append(
            Note(
                "Normal",
                "ServerSeemsBusy",
                "server seems busy, you may need to increase StartServers, ThreadsPerChild or "
                "MinSpareThreads/MaxSpareThreads (AH00485)",
            )
        )
    return tuple(found)
