"""One long-lived scoreboard stream a pod, and the signed control calls that go the other way (decision 4).

A stream is opened when the pod has an address and kept until the pod is gone. When it breaks it is opened
again after a jittered backoff, and the last line stays: a silent pod keeps its last load.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from msgspec.structs import replace

from mpm_operator.core.flow import listen
from mpm_operator.scoreboard import Line, Malformed, parse
from mpm_worker.control import sign

from . import metrics
from .client import Fenced
from .resources import WEBSERVER_LABEL, Key, name_of, uid_of
from .stream import open_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mpm_operator.core.snapshot import Report

    from .resources import Object

logger = logging.getLogger(__name__)

ADMIN_PORT = 9090
BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_MOST_SECONDS = 5.0
SILENCE_SECONDS = 10.0
"""A stream without a line for so long (ten turns missed) is opened anew."""
CONTROL_TIMEOUT_SECONDS = 3.0
KEY_PAUSE_SECONDS = 10.0
"""A key that a pod does not know is offered again after so long: the volume of its Secret follows late."""


class ControlRefused(Exception):
    """A pod did not take a control call; the text says which, and its reason."""

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final
        """The pod understood the call and can't do it: it changed nothing, and never will by this call."""


@dataclass(slots=True)
class _Stream:
    uid: str
    parent: Key
    address: str
    task: asyncio.Task[None]
    line: Line | None = None
    sequence: int = 0
    """Last sequence number used with `boot`."""
    boot: str = ""
    unknown_key: bytes = b""
    """The last key that the pod did not accept, and when it was offered."""
    unknown_at: float = 0.0
    failure: str = ""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    calls: asyncio.Lock = field(default_factory=asyncio.Lock)


class Scoreboards:
    """The streams of all pods that were watched, by pod UID."""

    def __init__(
        self,
        enqueue: Callable[[Key], None],
        remaining: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
        port: int = ADMIN_PORT,
        hear: Callable[[Key, str, Line], None] = lambda key, uid, line: None,
    ) -> None:
        self._hear = hear
        self._enqueue = enqueue
        self._remaining = remaining
        self._clock = clock
        self._port = port
        self._streams: dict[str, _Stream] = {}
        self._session: aiohttp.ClientSession | None = None

    def follow(self, pod: Object) -> None:
        """Open the pod's stream when it has an address; a pod that is over is let go."""
        uid = uid_of(pod)
        status = pod.get("status") or {}
        address = status.get("podIP") or ""
        if status.get("phase") in ("Succeeded", "Failed"):
            self.forget(uid)
            return
        known = self._streams.get(uid)
        if not address:
            return
        if known is not None and known.address == address and not known.task.done():
            # Something about the pod changed: perhaps its admin port answers now.
            known.news.set()
            return
        self.forget(uid)
        meta = pod["metadata"]
        parent = Key(meta["namespace"], (meta.get("labels") or {}).get(WEBSERVER_LABEL, ""))
        task = asyncio.create_task(self._run(uid), name=f"scoreboard of {name_of(pod)}")
        self._streams[uid] = _Stream(uid, parent, address, task)

    def forget(self, uid: str) -> None:
        """Close the stream of a pod that is gone."""
        stream = self._streams.pop(uid, None)
        if stream is not None:
            stream.task.cancel()

    def report(self, uid: str) -> Report | None:
        """Return the last line ever received of the pod."""
        stream = self._streams.get(uid)
        return stream.line.report if stream is not None and stream.line is not None else None

    def line(self, uid: str) -> Line | None:
        """Return the same with what only the pages show."""
        stream = self._streams.get(uid)
        return stream.line if stream is not None else None

    def failure(self, uid: str) -> str:
        """Return why the pod's stream is not open, or nothing."""
        stream = self._streams.get(uid)
        return stream.failure if stream is not None else ""

    def uids(self) -> set[str]:
        return set(self._streams)

    def oldest(self) -> float:
        """Return the age in seconds of the oldest last line."""
        now = self._clock()
        return max((now - s.line.report.at for s in self._streams.values() if s.line), default=0.0)

    async def control(
        self, uid: str, keys: Sequence[bytes], method: str, path: str, body: Mapping[str, Any]
    ) -> None:
        """Make one signed call; the pod's answer counts as a line of its stream.

        `keys` are the current one and, while keys are rotated, the previous one. Raises ControlRefused, or
        Fenced when the lease is not ours.
        """
        stream = self._streams.get(uid)
        if stream is None or stream.line is None:
            raise ControlRefused(f"{method} {path}: the pod has not reported yet")
        data = json.dumps(body).encode()
        call = path.rpartition("/")[2]
        async with stream.calls:
            status, answer = await self._signed(stream, keys, method, path, data)
        metrics.CONTROLS.labels(call, str(status)).inc()
        if status != 200:
            said = answer[:300].decode(errors="replace")
            raise ControlRefused(f"{method} {path}: {status} {said}", final=status == 400)
        try:
            self._take(stream, parse(answer, self._clock()), wake=False)
        except ValueError as error:
            raise ControlRefused(f"{method} {path}: {error}") from error

    async def close(self) -> None:
        for uid in list(self._streams):
            self.forget(uid)
        if self._session is not None:
            await self._session.close()

    async def _signed(
        self, stream: _Stream, keys: Sequence[bytes], method: str, path: str, data: bytes
    ) -> tuple[int, bytes]:
        """Make the call with the first key that the pod accepts.

        After a 401 the sequence number is read again (another operator called, the pod booted); then the pod
        may not have the newest key yet.
        """
        order = list(keys)
        if order[0] == stream.unknown_key and self._clock() - stream.unknown_at < KEY_PAUSE_SECONDS:
            order.append(order.pop(0))
        status, answer = await self._call(stream, order[0], method, path, data)
        if status == 401:
            await self._resync(stream)
            for key in order:
                status, answer = await self._call(stream, key, method, path, data)
                if status != 401:
                    break
                stream.unknown_key, stream.unknown_at = key, self._clock()
        return status, answer

    async def _call(
        self, stream: _Stream, key: bytes, method: str, path: str, data: bytes
    ) -> tuple[int, bytes]:
        line = stream.line
        assert line is not None
        if stream.boot != line.report.boot:
            stream.boot, stream.sequence = line.report.boot, 0
        stream.sequence = sequence = max(stream.sequence, line.report.sequence) + 1
        signature = sign(key, stream.uid, stream.boot, sequence, method, path, data)
        headers = {
            "X-MPM-Sequence": str(sequence),
            "X-MPM-Signature": signature,
            "Content-Type": "application/json",
        }
        seconds = min(CONTROL_TIMEOUT_SECONDS, self._remaining())
        if seconds <= 0:
            raise Fenced("this operator does not hold the lease")
        try:
            async with self._client().request(
                method,
                self._url(stream, path),
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            metrics.CONTROLS.labels(path.rpartition("/")[2], "unreachable").inc()
            raise ControlRefused(f"{method} {path}: {_why(error)}") from error

    async def _resync(self, stream: _Stream) -> None:
        try:
            async with self._client().get(
                self._url(stream, "/scoreboard"), timeout=aiohttp.ClientTimeout(total=CONTROL_TIMEOUT_SECONDS)
            ) as response:
                self._take(stream, parse(await response.read(), self._clock()), wake=False)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ControlRefused(f"GET /scoreboard: {_why(error)}") from error

    async def _run(self, uid: str) -> None:
        """Read the pod's stream for as long as it lives."""
        failures = 0
        while True:
            stream = self._streams[uid]
            before = stream.line
            try:
                await self._read(stream)
                stream.failure = "the stream ended"
            except (OSError, ValueError) as error:
                # ValueError: no stream, or a line that is Malformed, too long, or no UTF-8.
                stream.failure = str(error) or type(error).__name__
            failures = 0 if stream.line is not before else failures + 1
            longest = min(BACKOFF_MOST_SECONDS, BACKOFF_FIRST_SECONDS * 2**failures)
            stream.news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(stream.news.wait(), longest * random.uniform(0.5, 1.0))

    async def _read(self, follower: _Stream) -> None:
        def take(line: bytes) -> None:
            self._take(follower, parse(line, self._clock()), wake=True)

        address, path = follower.address, "/scoreboard?watch"
        async with open_stream(address, self._port, path, SILENCE_SECONDS, take) as ended:
            with metrics.STREAMS.track_inprogress():
                await ended()

    def _take(self, stream: _Stream, line: Line, *, wake: bool) -> None:
        if line.pod_uid and line.pod_uid != stream.uid:
            raise Malformed(f"{stream.address} belongs to pod {line.pod_uid} by now")
        last = stream.line
        report = listen(line.report, last.report if last is not None else None)
        line = replace(line, report=report)
        stream.line, stream.failure = line, ""
        self._hear(stream.parent, stream.uid, line)
        if wake and (line.edge or last is None or last.report.boot != line.report.boot):
            self._enqueue(stream.parent)

    def _url(self, stream: _Stream, path: str) -> str:
        host = f"[{stream.address}]" if ":" in stream.address else stream.address
        return f"http://{host}:{self._port}{path}"

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session


def _why(error: Exception) -> str:
    """Return why there was no answer: the error of a time-out has no words."""
    if isinstance(error, TimeoutError):
        return f"no answer within {CONTROL_TIMEOUT_SECONDS:g} s"
    return str(error) or repr(error)
