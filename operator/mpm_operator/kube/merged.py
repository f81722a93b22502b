"""The merged scoreboard of each WebServer, out of the caches and the streams.

Counters begin anew when this process takes the lease: the process before it counted on its own, and two
counts cannot be joined without a gap or a double. Readers see what they know from httpd: a restart.
"""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import TYPE_CHECKING

from mpm_operator.core.snapshot import PodState
from mpm_operator.scoreboard import Board, Frame, PodLine, Tally, board

from . import metrics
from .resources import PODS, WEBSERVERS, Key, condition_of, name_of, uid_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mpm_operator.scoreboard import Line

    from .caches import Caches
    from .resources import Object

_BUILT = os.stat(__file__).st_mtime


class Merged:
    """Hears every line; makes the page's value when somebody asks.

    `line` returns the last line of the pod with that UID.
    """

    def __init__(
        self,
        caches: Caches,
        line: Callable[[str], Line | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._caches = caches
        self._line = line
        self._clock = clock
        self._began = clock()
        self._tallies: dict[Key, Tally] = {}
        self._served: set[str] = set()
        """UIDs of pods that have said so."""

    def restart(self) -> None:
        """Count from now on."""
        self._began = self._clock()
        self._tallies.clear()

    def hear(self, key: Key, uid: str, line: Line) -> None:
        """Count what a line of a pod brings."""
        tally = self._tally(key)
        tally.take(uid, line)
        if uid not in self._served and line.report.state is PodState.SERVING:
            self._served.add(uid)
            self._began_to_serve(key, uid, tally.began)

    def _began_to_serve(self, key: Key, uid: str, began: float) -> None:
        """Measure how long the pod took, unless it was there before we were."""
        for pod in self._caches[PODS].of(key):
            if uid_of(pod) == uid:
                made = datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp()
                took = time.time() - made
                if took < self._clock() - began:
                    metrics.POD_START_SECONDS.observe(max(0.0, took))

    def __iter__(self) -> Iterator[Key]:
        """Yield all WebServers, and forget the counters of those that are gone."""
        found = [Key(server["metadata"]["namespace"], name_of(server)) for server in self._caches[WEBSERVERS]]
        for gone in self._tallies.keys() - set(found):
            del self._tallies[gone]
        self._served &= {uid_of(pod) for pod in self._caches[PODS]}
        yield from found

    def board(self, key: Key) -> Board | None:
        """Return the scoreboard of a WebServer; None when there is no such WebServer."""
        server = self._caches[WEBSERVERS].get(key.namespace, key.name)
        if server is None:
            return None
        tally = self._tally(key)
        now = self._clock()
        pods = [
            PodLine(name_of(pod), self._line(uid_of(pod)), min(_ready_for(pod), now - tally.began))
            for pod in self._caches[PODS].of(key)
            if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        ]
        tally.keep({uid_of(pod) for pod in self._caches[PODS].of(key)})
        effective = (server.get("status") or {}).get("effective") or {}
        frame = Frame(
            name=str(key),
            mpm=str(effective.get("type") or "Event").lower(),
            generation=int(server["metadata"].get("generation") or 1),
            slots_per_pod=int(effective.get("slotsPerPod") or 1),
            max_request_workers=int(effective.get("maxRequestWorkers") or 0),
            built=_BUILT,
            now=time.time(),
            clock=now,
            uptime=now - tally.began,
        )
        return board(frame, pods, tally.total)

    def _tally(self, key: Key) -> Tally:
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally(self._began)
        return tally


def _ready_for(pod: Object) -> float:
    """Seconds since the kubelet found the pod ready; 0: it is not."""
    ready = condition_of(pod, "Ready")
    since = ready.get("lastTransitionTime")
    if not since or ready["status"] != "True":
        return 0.0
    return max(0.0, time.time() - datetime.fromisoformat(since).timestamp())
