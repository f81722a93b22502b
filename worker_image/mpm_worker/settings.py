"""What may change while the worker runs: what a control call may ask for, and how the processes hear of it.

The names of the fields are those of the scoreboard and of `PUT /control`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mpm_worker.scoreboard import Live

if TYPE_CHECKING:
    from mpm_worker.options import Options


class BadChange(Exception):
    """A control call that asks for what cannot be."""

    def __init__(self, reason: str, name: str = "") -> None:
        super().__init__(reason)
        self.name = name


@dataclass(frozen=True, slots=True)
class Settings:
    """What control can change while the worker runs; the names are those of the scoreboard."""

    threadsPerChild: int
    processes: int
    timeoutSeconds: float
    keepAlive: bool
    keepAliveTimeoutSeconds: float
    maxKeepAliveRequests: int
    limitRequestBodyBytes: int
    maxConnectionsPerChild: int
    maxRssBytes: int
    """-1: what the memory limit leaves."""
    requestTimeoutSeconds: float
    gracefulShutdownTimeoutSeconds: float
    asyncRequestWorkerFactor: float

    def document(self) -> dict[str, Any]:
        """Whole numbers without a point: a line of the stream has about 1 KiB."""
        return {
            name: int(value) if isinstance(value, float) and value.is_integer() else value
            for name, value in asdict(self).items()
        }


def at_start(options: Options) -> Settings:
    """What the options say."""
    return Settings(
        threadsPerChild=options.threads,
        processes=options.processes,
        timeoutSeconds=options.timeout,
        keepAlive=options.keep_alive,
        keepAliveTimeoutSeconds=options.keep_alive_timeout,
        maxKeepAliveRequests=options.max_keep_alive_requests,
        limitRequestBodyBytes=options.limit_request_body,
        maxConnectionsPerChild=options.max_connections_per_child,
        maxRssBytes=-1 if options.max_rss is None else options.max_rss,
        requestTimeoutSeconds=options.request_timeout,
        gracefulShutdownTimeoutSeconds=options.graceful_timeout,
        asyncRequestWorkerFactor=options.async_request_worker_factor,
    )


def publish(settings: Settings, live: memoryview[int]) -> None:
    """Write what all processes read (`live.LiveSettings`); how many threads, the supervisor says."""
    live[Live.TIMEOUT] = round(settings.timeoutSeconds * 1000)
    live[Live.KEEP_ALIVE] = settings.keepAlive
    live[Live.KEEP_ALIVE_TIMEOUT] = _milliseconds(settings.keepAliveTimeoutSeconds)
    live[Live.MAX_KEEP_ALIVE_REQUESTS] = settings.maxKeepAliveRequests
    live[Live.LIMIT_REQUEST_BODY] = settings.limitRequestBodyBytes
    live[Live.MAX_CONNECTIONS_PER_CHILD] = settings.maxConnectionsPerChild
    live[Live.MAX_RSS] = settings.maxRssBytes
    live[Live.REQUEST_TIMEOUT] = _milliseconds(settings.requestTimeoutSeconds)
    live[Live.ASYNC_FACTOR] = round(settings.asyncRequestWorkerFactor * 1000)


def _milliseconds(seconds: float) -> int:
    """At least 1 of a time that is not 0: there 0 stands for something else."""
    return max(round(seconds * 1000), int(seconds > 0))


_FRACTIONS = {
    "timeoutSeconds",
    "keepAliveTimeoutSeconds",
    "requestTimeoutSeconds",
    "gracefulShutdownTimeoutSeconds",
    "asyncRequestWorkerFactor",
}
_BOUNDS: dict[str, tuple[float, float]] = {
    "timeoutSeconds": (0.1, 86400),
    "keepAliveTimeoutSeconds": (0, 86400),
    "maxKeepAliveRequests": (0, 1 << 31),
    "limitRequestBodyBytes": (0, 1 << 50),
    "maxConnectionsPerChild": (0, 1 << 31),
    "maxRssBytes": (-1, 1 << 50),
    "requestTimeoutSeconds": (0, 86400),
    "gracefulShutdownTimeoutSeconds": (0, 86400),
    "asyncRequestWorkerFactor": (0.1, 10000),
}


def parse_object(body: bytes) -> dict[str, Any]:
    """The body of a call: a JSON object, or nothing for an empty one.

    :raises BadChange: it is something else
    """
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise BadChange(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadChange("the body must be a JSON object")
    return document


def parse_changes(document: dict[str, Any], thread_limit: int, process_limit: int) -> dict[str, Any]:
    """The changes a `PUT /control` asks for, each in its bounds.

    :raises BadChange: the first that is not; then none may be applied
    """
    bounds = _BOUNDS | {
        "threadsPerChild": (1, thread_limit),
        "threadsCeiling": (1, thread_limit),
        "processes": (1, process_limit),
    }
    known = {*bounds, "keepAlive"}
    for name, value in document.items():
        if name not in known:
            raise BadChange(f"unknown field; known are {', '.join(sorted(known))}", name)
        if name == "keepAlive":
            if not isinstance(value, bool):
                raise BadChange("expected true or false", name)
            continue
        number(name, value, *bounds[name], whole=name not in _FRACTIONS)
    return document


def number(name: str, value: Any, least: float, most: float, *, whole: bool) -> float:
    """A JSON number in its bounds, both included.

    :raises BadChange: it is not one
    """
    kinds = (int,) if whole else (int, float)
    usable = isinstance(value, kinds) and not isinstance(value, bool)
    if not usable or not least <= value <= most:  # neither NaN nor an infinity is between two numbers
        raise BadChange(f"expected a {'whole ' if whole else ''}number from {least:g} to {most:.0f}", name)
    return value  # type: ignore[no-any-return]
