"""One "pod" on this machine: an `mpm-worker` supervisor, started again when it ends, and what it reports."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from mpm_operator.core.snapshot import Pod, PodPhase, PodState, Report
from mpm_operator.scoreboard.parse import Edge, Malformed, parse

from . import admin
from .process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_ADMIN = re.compile(r"admin on http://[^ ]*:(\d+)")
_BACKOFF_SECONDS = (0.0, 1.0, 2.0, 4.0, 8.0, 10.0)
"""Wait before the n-th start in a row that never became ready (kubelet's CrashLoopBackOff, shorter)."""

_LAST_LINES_SECONDS = 1.0
"""How long the last lines of a pod that ended are waited for."""


class LocalPod:
    """Starts, restarts, watches and ends one supervisor."""

    def __init__(
        self,
        name: str,
        command: Callable[[str], Sequence[str]],
        listener_fd: int,
        key: bytes,
        changed: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        """`command(uid)` are the arguments of Python; `changed` is called when there is something to plan
        for; `say` gets every line the pod writes.
        """
        self.name = name
        self.uid = str(uuid.uuid4())
        self.cost = 0
        self.exit_code: int | None = None
        """Of the last life that ended."""
        self.was_ready = False
        self.last_lines: deque[str] = deque(maxlen=30)
        self._command = command
        self._listener_fd = listener_fd
        self._key = key
        self._changed = changed
        self._say = say
        self._clock = asyncio.get_running_loop().time
        self._created_at = self._clock()
        self._ready_at: float | None = None
        self._cost_at: float | None = None
        self._report: Report | None = None
        self._restarts = 0
        self.failures = 0
        """Lives in a row that never became ready."""
        self._process: ChildProcess | None = None
        self._admin_port: int | None = None
        self._sequence = 0
        self._terminating = False
        self._task = asyncio.create_task(self._live(), name=name)

    # What is seen of it

    @property
    def ended(self) -> bool:
        return self._task.done()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def observe(self) -> Pod:
        """The pod as the planner sees it; its own reading of the shared accept queue is left out."""
        crashing = self.failures > 1 and self._report is None
        return Pod(
            name=self.name,
            phase=self._phase(crashing),
            created_at=self._created_at,
            ready_at=self._ready_at,
            report=self._report,
            in_endpoints=self._report is not None and self._report.state is PodState.SERVING,
            deletion_cost=self.cost,
            deletion_cost_at=self._cost_at,
            restarts=self._restarts,
            trouble=f"CrashLoopBackOff: exit code {self.exit_code}" if crashing else "",
        )

    def _phase(self, crashing: bool) -> PodPhase:
        state = None if self._report is None else self._report.state
        if self._terminating or state is PodState.STOPPING:
            return PodPhase.TERMINATING
        if crashing:
            return PodPhase.FAILED
        if state is PodState.SERVING:
            return PodPhase.READY
        return PodPhase.STARTING if self._ready_at is None else PodPhase.UNREADY

    async def processes(self) -> list[dict[str, Any]]:
        """`processes` of its scoreboard, with the letters; empty when it does not answer."""
        if self._admin_port is None:
            return []
        try:
            found: list[dict[str, Any]] = json.loads(await admin.scoreboard(self._admin_port))["processes"]
        except (admin.AdminError, ValueError, KeyError):
            return []
        return found

    # What is done to it

    async def control(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        """One signed call. Raises AdminError."""
        if self._admin_port is None or self._report is None:
            raise admin.AdminError(f"{self.name} is not up")
        self._sequence += 1
        signer = admin.Signer(self._key, self.uid, self._report.boot, self._sequence)
        self._hear(await admin.control(self._admin_port, signer, method, path, body))

    def set_cost(self, cost: int) -> None:
        """The deletion cost; seen back at once, because nobody stands between."""
        if cost != self.cost:
            self.cost, self._cost_at = cost, self._clock()

    def terminate(self) -> None:
        """TERM: it drains, ends, and is not started again."""
        self._terminating = True
        if self._process is None:
            self._task.cancel()
        else:
            self._process.signal(signal.SIGTERM)

    def stop_fast(self) -> None:
        """INT: it ends without waiting for its requests."""
        self._terminating = True
        if self._process is None:
            self._task.cancel()
        else:
            self._process.signal(signal.SIGINT)

    def kill(self) -> None:
        """KILL it and its servers."""
        self._terminating = True
        if self._process is None:
            self._task.cancel()
        else:
            self._process.kill_session()

    async def wait(self) -> None:
        """Wait for its end."""
        await asyncio.wait([self._task])

    # Its life

    async def _live(self) -> None:
        while not self._terminating:
            await asyncio.sleep(_BACKOFF_SECONDS[min(self.failures, len(_BACKOFF_SECONDS) - 1)])
            await self._one_life()
            self._changed()

    async def _one_life(self) -> None:
        self._created_at, self._ready_at, self._report, self._admin_port = self._clock(), None, None, None
        self._process = process = ChildProcess(self._command(self.uid), (self._listener_fd,))
        listening = asyncio.create_task(self._listen(process))
        try:
            self.exit_code = await process.wait()
            # What is left of its session would serve on without a supervisor.
            process.kill_session()
            # Not for ever: what the app started in a session of its own may hold the output open.
            await asyncio.wait([listening], timeout=_LAST_LINES_SECONDS)
        finally:
            process.kill_session()
            listening.cancel()
            self._process = None
        self.failures = 0 if self._ready_at is not None else self.failures + 1
        self._restarts += 1
        self._report = self._ready_at = None

    async def _listen(self, process: ChildProcess) -> None:
        watching: asyncio.Task[None] | None = None
        try:
            async for line in process.lines():
                self.last_lines.append(line)
                self._say(line)
                if watching is None and (found := _ADMIN.search(line)):
                    self._admin_port = int(found[1])
                    watching = asyncio.create_task(self._watch(self._admin_port))
        finally:
            if watching is not None:
                watching.cancel()

    async def _watch(self, port: int) -> None:
        """Read the stream for as long as the supervisor lives; what breaks is opened anew."""
        while True:
            with contextlib.suppress(admin.AdminError):
                async for line in admin.watch(port):
                    self._hear(line)
            await asyncio.sleep(0.2)

    def _hear(self, line: bytes) -> None:
        """Take over what an aggregate says. Raises AdminError when it is none."""
        try:
            said = parse(line, self._clock())
            depth = json.loads(line)["backlog"]["depth"]
        except (Malformed, KeyError) as error:
            raise admin.AdminError(f"{self.name}: {error}") from error
        was = None if self._report is None else self._report.state
        # Every pod sees the one accept queue; the owner of the listener counts it, once.
        self._report = replace(said.report, queue=said.report.queue - depth)
        self._sequence = max(self._sequence, self._report.sequence)
        if self._report.state is PodState.SERVING and self._ready_at is None:
            self._ready_at, self.was_ready = self._clock(), True
        if said.edge not in (Edge.NONE, Edge.CONTROL) or self._report.state is not was:
            self._changed()
