"""`mpm explain NAME` asks the operator, with the reader's own rights; its answer can be replayed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from api_server import serving
from kubernetes.client import ApiClient, Configuration
from reviews import Reviews

from mpm_operator.core.directives import normalise
from mpm_operator.core.memory import fresh
from mpm_operator.core.planner import plan
from mpm_operator.core.record import Ring
from mpm_operator.core.snapshot import Pod, PodPhase, Snapshot
from mpm_operator.core.spec import App, WebServerSpec
from mpm_operator.kube.access import Access
from mpm_operator.kube.caches import Caches
from mpm_operator.kube.client import Client
from mpm_operator.kube.merged import Merged
from mpm_operator.kube.status_api import StatusAPI

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

MPM = str(Path(sys.executable).with_name("mpm"))


@pytest.fixture
def api_server() -> Iterator[str]:
    with serving(Reviews) as url:
        yield url


@pytest.fixture
async def operator(api_server: str) -> AsyncIterator[str]:
    """The operator's pages, with one decision of `demo/shop`; returns their address."""
    configuration = Configuration()
    configuration.host = api_server
    client = Client(ApiClient(configuration), lambda: 10.0)
    pods = tuple(Pod(f"shop-{n}", PodPhase.READY, 0.0) for n in range(2))
    effective = normalise(WebServerSpec(app=App(module="shop:app")))[0]
    snapshot, ring = Snapshot(effective, pods, 2, fresh(0.0)), Ring()
    ring.add("demo/shop", 1_700_000_000.0, 5.0, snapshot, plan(snapshot, 5.0))
    ring.add("demo/secret", 1_700_000_000.0, 5.0, snapshot, plan(snapshot, 5.0))
    app = web.Application()
    StatusAPI(Merged(Caches(), lambda _: None), ring, Access(client, None), lambda: "").register(app)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()
    await client.drain()


async def mpm(*arguments: str) -> tuple[int, str]:
    """Exit code and output of the real command."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        MPM, *arguments, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    text, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, text.decode()


async def test_the_answer_says_why_and_can_be_replayed(operator: str, tmp_path: Path) -> None:
    kept = str(tmp_path / "answer.json")
    asked = ("explain", "shop", "-n", "demo", "--server", operator, "--token", "reader", "--save", kept)
    code, answer = await mpm(*asked)
    assert code == 0, answer
    assert answer.startswith("demo/shop: ")
    assert "2 pods accept with 50 slots" in answer
    assert "How it came to be:" in answer
    assert "secret" not in answer
    assert await mpm("simulate", "--replay", kept) == (0, "1 decision, the same again\n")


@pytest.mark.parametrize(
    ("token", "name", "words"),
    [
        ("", "shop", "401: a token is needed"),
        ("made-up", "shop", "401: "),
        ("stranger", "shop", "403: you may not get"),
        ("reader", "secret", "403: "),
        ("reader", "nobody", "404: nothing was decided of a WebServer demo/nobody"),
    ],
)
async def test_only_who_may_read_the_webserver_is_told(
    operator: str, token: str, name: str, words: str
) -> None:
    code, answer = await mpm("explain", name, "-n", "demo", "--server", operator, "--token", token)
    assert code == 1
    assert words in answer
