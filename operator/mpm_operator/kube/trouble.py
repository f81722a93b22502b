"""Why a container does not start, in Kubernetes' words and in its own last ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .resources import Object

CANNOT_START = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "PreCreateHookError",
        "RunContainerError",
    }
)
"""Reasons of a waiting container that do not go away by waiting."""

AGAIN = 2
"""A container that was started so often and never became ready keeps ending; once may be an accident."""

WORKER = "mpm-worker"
"""How the worker's own lines begin."""


def of_waiting(container: Object) -> str:
    """Return why a container of CANNOT_START waits: the kubelet's reason, and how it ended last."""
    waiting = container["state"]["waiting"]
    text = str(waiting["reason"])
    ended = of_end(container)
    if ended:
        return f"{text}: {ended}"
    return f"{text}: {waiting['message']}" if waiting.get("message") else text


def of_starting(container: Object) -> str:
    """Return how a container that starts again and again ended last; nothing of one that has just begun."""
    ended = of_end(container)
    if not ended or int(container.get("restartCount") or 0) < AGAIN:
        return ""
    return f"ends while it starts: {ended}"


def of_end(container: Object) -> str:
    """Return exit code and last words of the run before this one; nothing when there was none."""
    ended = (container.get("lastState") or {}).get("terminated") or {}
    if not ended:
        return ""
    reason = ended.get("reason")
    text = f"exit code {ended.get('exitCode')}" + (f" ({reason})" if reason == "OOMKilled" else "")
    said = last_words(ended.get("message") or "")
    return f"{text}: {said}" if said else text


def last_words(message: str) -> str:
    """Return the line that tells why: the error at the end of a traceback, else what the worker said last.

    A container that ends with an error leaves its last 80 lines as its message
    (`terminationMessagePolicy: FallbackToLogsOnError`).
    """
    lines = [line for line in message.splitlines() if line.strip() and not line[0].isspace()]
    foreign = [line for line in lines if not line.startswith(WORKER)]
    return ([*lines[-1:], *foreign[-1:]] or [""])[-1].strip()
