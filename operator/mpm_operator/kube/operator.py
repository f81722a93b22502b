"""The parts of the operator, put together and kept running."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import kopf

from mpm_operator.core.record import Ring

from . import handlers, metrics
from .access import Access
from .build import Builder
from .caches import Caches, parents
from .children import Applier
from .client import APIError, Client, Fenced, Unreachable, connect
from .events import Recorder
from .execute import Executor, StepFailed
from .health import Health
from .keys import BadMasterKey, MasterKeys
from .lease import Lease
from .merged import Merged
from .observe import Observer
from .queue import KeyedQueue
from .reconciler import Reconciler, Tools
from .relist import Relister
from .resize import Resizer
from .resources import PODS, WEBSERVERS, Key, name_of, uid_of
from .scoreboards import Scoreboards
from .status import StatusWriter
from .status_api import StatusAPI
from .webserver_metrics import WebServerMetrics

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from kopf._core.engines.peering import Identity

    from mpm_operator.scoreboard import Line

    from .options import Options
    from .resources import Kind, Object

logger = logging.getLogger(__name__)

WORKERS = 4
RETRY_SECONDS = 2.0
FENCED_SECONDS = 1.0
"""When to look again at a WebServer whose turn the lease's end cut short."""
KEY_SECONDS = 60.0
"""The master key is read again so often: it may have been rotated."""


class Operator:
    """One process of the operator: holder of the lease, or standby with warm caches."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._lease = Lease(
            options.lease_namespace,
            options.lease_name,
            options.identity,
            options.lease,
            address=options.address,
        )
        self._client = Client(connect(), self._remaining)
        self._caches = Caches()
        self._queue = KeyedQueue()
        self._boards = Scoreboards(self._queue.add, self._remaining, hear=self._hear)
        self._merged = Merged(self._caches, self._boards.line)
        self._relister = Relister(self._client, self._caches, options.namespaces, self._changed)
        self._keys = MasterKeys(self._client, options.lease_namespace)
        self._ring = Ring()
        self._reconciler = Reconciler(self._tools())
        pages = StatusAPI(
            self._merged, self._ring, Access(self._client, options.status_token_file), self._leader
        )
        metrics.REGISTRY.register(WebServerMetrics(self._merged, self._caches, lambda: self._lease.held))
        self._health = Health(self._caches, self._queue, self._boards, pages)
        self._term = 0
        self._leading = asyncio.Event()
        self._stop = asyncio.Event()
        self._failed = False

    async def run(self) -> bool:
        """Run until a signal; return whether it ended well."""
        self._end_on_signals()
        await self._health.start(self._options.health_port, self._options.metrics_port)
        if not await self._wait_for_crd():
            await self._end([])
            return True
        tasks = [
            self._task(self._lease.run(self._client), "lease"),
            self._task(self._relister.run(), "relist"),
            self._task(self._lead(), "leader"),
            *(self._task(self._work(), f"worker {number}") for number in range(WORKERS)),
        ]
        watching = self._task(self._watch(), "watch")
        await self._stop.wait()
        # The lease goes first, so that a standby need not wait while kopf takes its time.
        await self._end(tasks)
        await asyncio.gather(watching, return_exceptions=True)
        return not self._failed

    async def _watch(self) -> None:
        """Run kopf until the stop flag."""
        registry = kopf.OperatorRegistry()
        handlers.register(registry, self._caches, self._changed)
        ours = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=registry,
            settings=handlers.settings(),
            standalone=True,
            # Left out, kopf asks for the name of the user, and a container's number has none.
            identity=cast("Identity", self._options.identity),
            clusterwide=not self._options.namespaces,
            namespaces=self._options.namespaces,
            stop_flag=self._stop,
        )
        # kopf took the signals: with its handlers the lease would be released last, after its own time-outs.
        self._end_on_signals()
        await kopf.run_tasks(tasks, ignored=ours)

    def _end_on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)

    def _tools(self) -> Tools:
        observer = Observer(self._caches, self._boards.report)
        options = self._options
        return Tools(
            caches=self._caches,
            observer=observer,
            applier=Applier(self._client, self._caches),
            executor=Executor(self._client, self._caches, self._boards),
            status=StatusWriter(self._client, self._caches),
            recorder=Recorder(self._client, self._options.identity),
            resizer=Resizer(self._client, self._caches),
            ring=self._ring,
            keys=self._keys,
            builder=Builder(
                self._caches, observer, self._keys, options.worker_image, options.progress_deadline_seconds
            ),
        )

    def _hear(self, key: Key, uid: str, line: Line) -> None:
        self._merged.hear(key, uid, line)

    def _leader(self) -> str | None:
        """Return "" when this process leads, else where the leader listens, or None when nobody knows."""
        return "" if self._lease.held else self._lease.others_address or None

    def _changed(self, kind: Kind, body: Object, deleted: bool) -> None:
        """A cache changed: follow the pod, and look at the WebServers concerned."""
        if kind == PODS:
            if deleted or not parents(kind, body):
                self._boards.forget(uid_of(body))
            else:
                self._boards.follow(body)
        for key in self._caches.affected(kind, body):
            self._queue.add(key, urgent=kind == WEBSERVERS)

    async def _lead(self) -> None:
        """At each take-over: list again, read the master key, forget old plans, look at every WebServer.

        The listing is for a process that was stopped past its lease: another has acted, and the watches of
        this one may still have to catch up.
        """
        while True:
            await self._lease.taken.wait()
            term = self._lease.term
            try:
                await self._relister.confirm()
                self._term = term
                await self._keys.load()
            except (APIError, Unreachable, Fenced, BadMasterKey) as error:
                logger.error("Not leading yet: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._merged.restart()
            self._reconciler.reset()
            self._look_at_all()
            self._leading.set()
            await self._hold(term)
            self._leading.clear()

    async def _hold(self, term: int) -> None:
        """Wait for the end of the term; meanwhile follow the master key when it is rotated."""
        read_at = time.monotonic()
        # A lease ends by the clock: there is no event that would tell.
        while self._lease.held and self._lease.term == term:
            await asyncio.sleep(0.5)
            if time.monotonic() - read_at < KEY_SECONDS:
                continue
            read_at = time.monotonic()
            try:
                if await self._keys.load():
                    self._look_at_all()
            except (APIError, Unreachable, Fenced, BadMasterKey) as error:
                logger.warning("The master key was not read again: %s", error)

    def _look_at_all(self) -> None:
        for server in self._caches[WEBSERVERS]:
            self._queue.add(Key(server["metadata"]["namespace"], name_of(server)))

    def _remaining(self) -> float:
        """Return for how many seconds more this process may write: not in a term it has not prepared for."""
        return self._lease.remaining() if self._lease.term == self._term else 0.0

    async def _work(self) -> None:
        while True:
            await self._leading.wait()
            # A turn at rest waits for nothing: without this, many in a row would keep the streams waiting.
            await asyncio.sleep(0)
            key = await self._queue.get()
            failed = True
            started = time.monotonic()
            try:
                due = await self._reconciler.reconcile(key)
                failed = False
                if due is None:
                    self._queue.forget(key)
                else:
                    self._queue.add(key, due=due)
                metrics.RECONCILES.labels("ok").inc()
            except Fenced:
                # A key taken in one term may be fenced in the next, whose look at every WebServer is over.
                failed = False
                self._queue.add(key, due=time.monotonic() + FENCED_SECONDS)
                metrics.RECONCILES.labels("fenced").inc()
            except (StepFailed, APIError, Unreachable, BadMasterKey) as error:
                logger.warning("%s: %s", key, error)
                metrics.RECONCILES.labels("failed").inc()
            except Exception:
                # One WebServer that trips us must not end the service of the others.
                logger.exception("%s: reconciliation failed by a defect of the operator", key)
                metrics.RECONCILES.labels("defect").inc()
            finally:
                metrics.RECONCILE_SECONDS.observe(time.monotonic() - started)
                self._queue.done(key, failed=failed)

    async def _wait_for_crd(self) -> bool:
        """Wait until the CRD is served; return whether it is, or the process was told to end."""
        said = False
        while not self._stop.is_set():
            try:
                if await self._client.serves(WEBSERVERS):
                    return True
                problem = f"the CRD webservers.{WEBSERVERS.group} is not installed: apply crds/ first"
            except (APIError, Unreachable) as error:
                problem = f"the API server can't be asked: {error}"
            if not said:
                logger.warning("Waiting: %s", problem)
                said = True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), RETRY_SECONDS)
        return False

    def _task(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A part that ends by itself ends the process: the kubelet starts a whole one."""
        if self._stop.is_set() or task.cancelled():
            return
        logger.error("The %s loop ended", task.get_name(), exc_info=task.exception())
        self._failed = True
        self._stop.set()

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._boards.close()
        await self._lease.release(self._client)
        await self._health.stop()
        self._client.close()
