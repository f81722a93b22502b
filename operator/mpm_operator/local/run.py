"""`mpm run`: a WebServer on one machine. Observe, plan, execute - with child processes instead of pods.

The parent owns the listening socket and decides; it never serves a request.
"""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from mpm_operator.core.memory import fresh
from mpm_operator.core.planner import plan as make_plan
from mpm_operator.core.record import Ring, dump
from mpm_operator.core.snapshot import Snapshot

from .admin import AdminError
from .document import BadDocument
from .edits import Edits, Given, NeedsNewStart, given
from .execute import execute
from .home import Home
from .listener import Listener
from .pod import LocalPod
from .pods import Pods
from .process import ChildProcess
from .view import LoadLine, View

if TYPE_CHECKING:
    from mpm_operator.core.plan import Plan

    from .document import Document
    from .view import Display

_MAINTENANCE_SECONDS = 1.0
"""httpd's: at least once a second."""
_HURRY_SECONDS = 0.05
"""Edges that come together are planned for together."""
_EXIT_APP_FAILED = 3
"""The worker's exit code when no child could start; ours too."""
_TRIES = 3
"""Starts of the first pods that may fail in another way before the run is given up."""


_SUPERVISOR, _CAUSE = "mpm-worker: ", "cannot be started: "
"""How the supervisor's own lines begin, and after what it names the cause; the app's traceback may follow."""


class AppFailed(Exception):
    """No pod could start; the text says why."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for."""

    file: Path
    """The YAML; its folder is where the app is imported from."""
    document: Document
    """What the file held when the run began."""
    host: str
    port: int
    demo_load: bool
    dump: Path | None = None
    """Where the decisions go at the end."""


async def run(wish: Wish, display: Display, stop: asyncio.Event, fast: asyncio.Event) -> None:
    """Serve until `stop`; then drain, or end at once when `fast` is set too.

    Raises PortTaken, or AppFailed when the app cannot be started at all.
    """
    edits = Edits(wish.file)
    asked = given(wish.document)
    listener = Listener(wish.host, wish.port, asked.effective.listen_backlog)
    try:
        with tempfile.TemporaryDirectory(prefix="mpm-run-") as root:
            for ignored in wish.document.ignored:
                display.say(f"{ignored} means nothing on one machine: ignored.")
            folder = wish.file.parent.resolve()
            home = Home(Path(root), wish.document, folder, asked.process_limit)
            await _Run(wish, display, edits, home, listener).serve(asked, stop, fast)
    finally:
        listener.close()


class _Run:
    """One run: the loop and its state."""

    def __init__(self, wish: Wish, display: Display, edits: Edits, home: Home, listener: Listener) -> None:
        self._wish = wish
        self._display = display
        self._edits = edits
        self._home = home
        self._listener = listener
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._memory = fresh(self._began)
        self._ring = Ring()
        self._wake = asyncio.Event()
        self._load: LoadLine | None = None
        self._was_ready = False
        self._pods = Pods(wish.document.name, self._make_pod)

    async def serve(self, asked: Given, stop: asyncio.Event, fast: asyncio.Event) -> None:
        load: asyncio.Task[None] | None = None
        self._take(asked)
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _: self._wake.set())
        try:
            while not stop.is_set():
                await self._turn()
                if self._was_ready and load is None and self._wish.demo_load:
                    load = asyncio.create_task(self._play_load())
            self._display.say("mpm: ending; requests that run are finished first (Ctrl-C again: at once).")
            await self._pods.end(fast)
        finally:
            stopping.cancel()
            if load is not None:
                load.cancel()
            self._pods.kill()
            self._write_dump()

    def _write_dump(self) -> None:
        if self._wish.dump is None:
            return
        try:
            self._wish.dump.write_text(dump(self._ring.of(), self._ring.latest), encoding="utf-8")
        except OSError as error:
            self._display.say(f"mpm: {self._wish.dump}: cannot be written: {error.strerror}.")

    async def _turn(self) -> None:
        """Observe, plan, execute, show; then wait for an edge or the next second."""
        now = self._clock()
        self._wake.clear()
        self._follow()
        seen = self._observe()
        plan = make_plan(seen, now)
        self._ring.add(self._wish.document.name, time.time(), now, seen, plan)
        self._memory = plan.memory or self._memory
        for note in plan.notes:
            self._display.say(f"{note.severity} {note.reason}: {note.message}")
        try:
            await execute(plan, self._pods)
        except AdminError as error:
            self._display.say(f"mpm: {error}; planned again.")
        self._judge_the_start()
        await self._show(plan)
        await self._pause(plan.due)

    def _take(self, asked: Given) -> None:
        """From now on this is what pods are held to, and what new ones start with."""
        for correction in asked.corrections:
            self._display.say(f"{correction.field}: {correction.message}")
        self._asked = asked
        # The wait is for proxies that have not heard yet; here there are none.
        self._effective = replace(asked.effective, drain_delay_seconds=0)
        self._home.configure(asked.document.spec, self._effective)
        self._pods.grace_seconds = float(self._effective.graceful_shutdown_timeout_seconds)

    def _follow(self) -> None:
        """Take an edit of the file; one that cannot be taken is told, and nothing of it takes effect."""
        try:
            edited = self._edits.next(self._asked)
        except BadDocument as error:
            self._display.say(f"mpm: {error} The edit is not in effect.")
        except NeedsNewStart as error:
            self._display.say(f"mpm: {error}: end this run and start it again; the edit is not in effect.")
        else:
            if edited is not None:
                self._display.say(f"mpm: {self._wish.file} was edited: in effect.")
                self._take(edited)

    def _observe(self) -> Snapshot:
        spec = self._asked.document.spec
        return Snapshot(
            effective=self._effective,
            pods=self._pods.observe(self._listener.depth()),
            replicas=self._pods.replicas,
            memory=self._memory,
            manual_replicas=spec.replicas,
            paused=spec.paused,
            pooled=True,
        )

    async def _show(self, plan: Plan) -> None:
        pods = self._pods.all()
        processes = {}
        if self._display.wants_processes:
            found = await asyncio.gather(*(pod.processes() for pod in pods))
            processes = {pod.name: list(one) for pod, one in zip(pods, found, strict=True)}
        self._display.show(
            View(
                at=self._clock() - self._began,
                name=self._wish.document.name,
                url=self._listener.url,
                mpm=str(self._effective.mpm),
                pods=self._pods.observe(self._listener.depth()),
                plan=plan,
                processes=processes,
                load=self._load,
            )
        )

    async def _pause(self, due: float) -> None:
        longest = min(_MAINTENANCE_SECONDS, max(_HURRY_SECONDS, due - self._clock()))
        try:
            async with asyncio.timeout(longest):
                await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(_HURRY_SECONDS)

    def _judge_the_start(self) -> None:
        """An app that never started will not start by trying on; one that did gets its backoff."""
        pods = self._pods.all()
        if not self._was_ready and any(pod.was_ready for pod in pods):
            self._was_ready = True
            self._display.say(
                f"mpm: serving {self._wish.document.name} on {self._listener.url} (Ctrl-C ends it)"
            )
        if self._was_ready:
            return
        for pod in pods:
            if pod.exit_code == _EXIT_APP_FAILED or pod.failures >= _TRIES:
                raise AppFailed(self._why(pod))

    def _why(self, pod: LocalPod) -> str:
        app = self._wish.document.spec.app.module
        said = "it said nothing"
        for line in pod.last_lines:
            if _CAUSE in line or (line.strip() and not line.startswith(_SUPERVISOR)):
                said = line.rpartition(_CAUSE)[2]
        return f"spec.app.module: `{app}` cannot be started (exit code {pod.exit_code}): {said}"

    def _make_pod(self, name: str) -> LocalPod:
        descriptor = self._listener.fileno
        return LocalPod(
            name,
            lambda uid: self._home.command(uid, descriptor),
            descriptor,
            self._home.key,
            self._wake.set,
            lambda line: self._hear(name, line),
        )

    def _hear(self, pod: str, line: str) -> None:
        if not line.startswith(("mpm-worker starting ", "mpm-worker listening on ")):
            self._display.say(f"{pod}: {line}")

    async def _play_load(self) -> None:
        """Run the demo load in a process of its own and keep what it says."""
        process = ChildProcess(["-P", "-m", "mpm_operator.local.load", self._listener.url])
        try:
            async for line in process.lines():
                if line.startswith("{"):
                    self._load = LoadLine(**json.loads(line))
                else:
                    self._display.say(f"load: {line}")
            load = self._load or LoadLine()
            self._display.say(
                f"load: ended; {load.requests} requests, {load.failures} failed {load.why}".rstrip()
            )
        finally:
            process.signal(signal.SIGKILL)
