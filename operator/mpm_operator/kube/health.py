"""Probes and metrics over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import generate_latest

from . import metrics
from .relist import STALE_SECONDS

if TYPE_CHECKING:
    from .caches import Caches
    from .queue import KeyedQueue
    from .scoreboards import Scoreboards
    from .status_api import StatusAPI

_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
"""Every reader knows it, and our names need no newer one (the library's own word depends on its version)."""


class Health:
    """`/healthz`, `/readyz` on one port, `/metrics` on another: probes need no access to the numbers."""

    def __init__(self, caches: Caches, queue: KeyedQueue, boards: Scoreboards, pages: StatusAPI) -> None:
        self._pages = pages
        self._caches = caches
        self._queue = queue
        self._boards = boards
        self._runners: list[web.AppRunner] = []

    async def start(self, health_port: int, metrics_port: int) -> None:
        probes = web.Application()
        probes.router.add_get("/healthz", self._healthz)
        probes.router.add_get("/readyz", self._readyz)
        await self._serve(probes, health_port)
        numbers = web.Application()
        numbers.router.add_get("/metrics", self._metrics)
        self._pages.register(numbers)
        await self._serve(numbers, metrics_port)

    async def stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()

    async def _serve(self, app: web.Application, port: int) -> None:
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, port=port).start()
        self._runners.append(runner)

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        """A standby is ready too: its caches are warm. Ready is who could take over at once."""
        stale = [f"{name}: {_age(age)}" for name, age in self._caches.ages().items() if age > STALE_SECONDS]
        if stale:
            return web.Response(status=503, text="caches not confirmed:\n" + "\n".join(stale) + "\n")
        return web.Response(text="ok\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        for name, age in self._caches.ages().items():
            metrics.WATCH_AGE.labels(name).set(age)
        metrics.STREAM_AGE.set(self._boards.oldest())
        metrics.QUEUE_DEPTH.set(len(self._queue))
        return web.Response(body=generate_latest(metrics.REGISTRY), headers={"Content-Type": _TEXT_FORMAT})


def _age(seconds: float) -> str:
    return "never" if seconds == float("inf") else f"{seconds:.0f} s ago"
