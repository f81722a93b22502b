"""The operator's pages over HTTP, without a cluster: who may read, what is answered, what is counted."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import subprocess
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from api_server import serving
from kubernetes.client import ApiClient, Configuration
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from reviews import Reviews

from mpm_operator.core.record import Ring
from mpm_operator.kube import metrics as own
from mpm_operator.kube.access import ALLOWED_SECONDS, Access, Verdict
from mpm_operator.kube.caches import Caches
from mpm_operator.kube.client import Client, Unreachable
from mpm_operator.kube.merged import Merged
from mpm_operator.kube.resources import PODS, WEBSERVERS, Key
from mpm_operator.kube.status_api import PASSED_ON, StatusAPI
from mpm_operator.kube.webserver_metrics import WebServerMetrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from mpm_operator.scoreboard import Line

SHOP = "/apis/webservers/demo/shop/server-status"
KEY = Key("demo", "shop")


class Whole:
    """The WebServer `demo/shop` as the operator knows it, its pages and its metrics."""

    def __init__(self) -> None:
        self.caches, self.lines = Caches(), dict[str, "Line"]()
        self.clock = 100.0
        self.leader: str | None = ""
        self.url = ""
        self.merged = Merged(self.caches, self.lines.get, lambda: self.clock)
        self.caches[WEBSERVERS].put(
            {
                "metadata": {"namespace": "demo", "name": "shop", "generation": 2, "resourceVersion": "1"},
                "status": {"effective": {"type": "Event", "slotsPerPod": 5, "maxRequestWorkers": 20}},
            }
        )

    def pod(self, name: str, *, ready_since: float | None = None) -> None:
        ready = {"type": "Ready", "status": "False" if ready_since is None else "True"}
        since = datetime.fromtimestamp(ready_since or 0.0, UTC).isoformat()
        self.caches[PODS].put(
            {
                "metadata": {
                    "namespace": "demo",
                    "name": name,
                    "uid": name,
                    "labels": {"mpm-operator.io/webserver": "shop"},
                    "ownerReferences": [{"controller": True, "kind": "ReplicaSet", "name": "shop-12ab"}],
                    "creationTimestamp": since,
                },
                "status": {"phase": "Running", "conditions": [ready | {"lastTransitionTime": since}]},
            }
        )

    def hear(self, name: str, line: Line) -> None:
        self.lines[name] = line
        self.merged.hear(KEY, name, line)

    def metrics(self) -> str:
        registry = CollectorRegistry()
        registry.register(WebServerMetrics(self.merged, self.caches, lambda: self.leader == ""))
        return generate_latest(registry).decode()

    def sample(self, name: str, **labels: str) -> float:
        wanted = {"namespace": "demo", "name": "shop"} | labels
        (found,) = [
            sample.value
            for family in text_string_to_metric_families(self.metrics())
            for sample in family.samples
            if (sample.name, sample.labels) == (name, wanted)
        ]
        return float(found)

    async def ask(
        self,
        path: str = SHOP,
        authorization: str = "Bearer reader",
        method: str = "GET",
        at: str = "",
        **headers: str,
    ) -> tuple[int, Any, str]:
        headers |= {"Authorization": authorization} if authorization else {}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"{at or self.url}{path}", headers=headers) as answer,
        ):
            return answer.status, answer.headers, (await answer.read()).decode("latin-1")


@asynccontextmanager
async def serving_pages(pages: StatusAPI) -> AsyncIterator[str]:
    """Their address."""
    app = web.Application()
    pages.register(app)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[Whole]:
    made = Whole()
    with serving(Reviews) as url:
        configuration = Configuration()
        configuration.host = url
        client = Client(ApiClient(configuration), lambda: 10.0)
        token_file = tmp_path / "token"
        token_file.write_text("agents\n")
        pages = StatusAPI(made.merged, Ring(), Access(client, token_file), lambda: made.leader)
        async with serving_pages(pages) as made.url:
            yield made
        await client.drain()
        client.close()


def basic(password: str) -> str:
    return f"Basic {base64.b64encode(f'agent:{password}'.encode()).decode()}"


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer reader", 200),
        ("bearer reader", 200),
        (basic("reader"), 200),
        ("Bearer agents", 200),
        (basic("agents"), 200),
        ("Bearer stranger", 403),
        ("", 401),
        ("Bearer", 401),
        ("Bearer made-up", 401),
        ("Bearer agent", 401),
        ("Digest reader", 401),
        ("Basic reader", 401),
        ("Basic !!!", 401),
        ("Bearer \udce9\udcff", 401),
        ("Bearer r\u00e9ader", 401),
        (basic("\xe9"), 401),
        (f"Bearer {'x' * 5000}", 401),
    ],
    ids=repr,
)
async def test_who_may_read(whole: Whole, authorization: str, status: int) -> None:
    found, headers, text = await raw(whole, authorization)
    assert found == status, text
    assert ("WWW-Authenticate" in headers) == (status == 401)
    if status != 200:
        assert "ServerVersion" not in text
        assert "reader" not in text


async def raw(whole: Whole, authorization: str) -> tuple[int, str, str]:
    """Ask with exactly these bytes, which a client library would refuse to send."""
    host, port = whole.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    field = f"Authorization: {authorization}\r\n" if authorization else ""
    request = f"GET {SHOP}?auto HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{field}\r\n"
    writer.write(request.encode("utf-8", "surrogateescape"))
    answer = (await asyncio.wait_for(reader.read(), 30)).decode("latin-1")
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), head, body


async def test_a_browser_asks_for_the_password(whole: Whole) -> None:
    """Chromium sees one challenge a field: of two in one it took the first, which it cannot answer."""
    challenges = ["Bearer", 'Basic realm="the password is a token"']
    status, headers, _ = await whole.ask(authorization="")
    assert (status, headers.getall("WWW-Authenticate")) == (401, challenges)
    unable = Access(Client(ApiClient(), lambda: 0.0), None)
    standby = StatusAPI(whole.merged, Ring(), unable, lambda: whole.url.removeprefix("http://"))
    async with serving_pages(standby) as url:
        status, headers, _ = await whole.ask(authorization="", at=url)
        assert (status, headers.getall("WWW-Authenticate")) == (401, challenges)
        status, headers, text = await whole.ask(f"{SHOP}?auto&refresh=4", basic("reader"), at=url)
        assert (status, headers["Refresh"]) == (200, "4")
        assert headers.getall("Content-Type") == ["text/plain; charset=ISO-8859-1"]
        assert text.startswith("demo/shop\n")


async def test_a_flood_of_tokens_leaves_the_api_server_to_those_who_scale(whole: Whole) -> None:
    Reviews.most_at_once = 0
    answers = await asyncio.gather(*(whole.ask(authorization=f"Bearer made-up-{n}") for n in range(30)))
    assert {status for status, _, _ in answers} == {401}
    assert 1 <= Reviews.most_at_once <= 2
    assert (await whole.ask())[0] == 200


async def test_who_was_let_in_does_not_wait_behind_those_who_try_tokens() -> None:
    now = 0.0
    with serving(Reviews) as url:
        configuration = Configuration()
        configuration.host = url
        client = Client(ApiClient(configuration), lambda: 10.0)
        access = Access(client, None, lambda: now)
        assert await access.may_read("reader", KEY) is Verdict.ALLOWED
        now += ALLOWED_SECONDS
        flood = [asyncio.create_task(access.may_read(f"made-up-{n}", KEY)) for n in range(150)]
        assert await access.may_read("reader", KEY) is Verdict.ALLOWED
        assert not all(task.done() for task in flood)
        answers = await asyncio.gather(*flood, return_exceptions=True)
        assert answers[:100] == [Verdict.UNKNOWN] * 100
        assert all(isinstance(answer, Unreachable) for answer in answers[100:])
        Reviews.asked = 0
        assert set(await asyncio.gather(*(access.may_read("another", KEY) for _ in range(50)))) == {
            Verdict.UNKNOWN
        }
        assert Reviews.asked <= 2
        await client.drain()
        client.close()


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        (f"{SHOP}?auto", "HEAD", 200),
        (SHOP, "POST", 405),
        (SHOP, "DELETE", 405),
        ("/apis/webservers/demo/nobody/server-status", "GET", 404),
        ("/apis/webservers/demo/secret/server-status", "GET", 403),
        ("/apis/webservers/demo/%2e%2e%2fshop/server-status", "GET", 403),
        ("/apis/webservers/demo/shop/", "GET", 404),
        ("/apis/webservers/demo/server-status", "GET", 404),
        ("/", "GET", 404),
    ],
)
async def test_what_is_asked_for(whole: Whole, path: str, method: str, status: int) -> None:
    found, _, text = await whole.ask(path, method=method)
    assert found == status
    assert bool(text) == (method != "HEAD")


@pytest.mark.parametrize(
    ("query", "kind", "refresh"),
    [
        ("", "text/html; charset=utf-8", None),
        ("?notable&refresh=3", "text/html; charset=utf-8", "3"),
        ("?auto", "text/plain; charset=ISO-8859-1", None),
        ("?refresh=5;auto", "text/plain; charset=ISO-8859-1", "5"),
        ("?x=1&refresh=no&auto", "text/plain; charset=ISO-8859-1", "10"),
        ("?json&refresh", "application/json; charset=utf-8", "10"),
        ("?json&auto", "text/plain; charset=ISO-8859-1", None),
    ],
)
async def test_the_words_of_the_query_count_wherever_they_stand(
    whole: Whole, query: str, kind: str, refresh: str | None
) -> None:
    status, headers, _ = await whole.ask(SHOP + query)
    assert (status, headers["Content-Type"], headers.get("Refresh")) == (200, kind, refresh)
    assert headers["Cache-Control"] == "no-store"
    assert "Apache" in headers["Server"]


async def test_a_standby_passes_the_question_on_once(whole: Whole) -> None:
    port = whole.url.rpartition(":")[2]
    whole.leader = f"127.0.0.1:{port}"
    status, _, text = await whole.ask()
    assert (status, text) == (503, "the lease is changing hands\n")
    status, headers, _ = await whole.ask(**{PASSED_ON: "1"})
    assert (status, headers["Retry-After"]) == (503, "2")
    whole.leader = None
    assert (await whole.ask())[0] == 503


async def test_the_three_forms_agree(whole: Whole, line: Callable[..., Line]) -> None:
    whole.pod("shop-12ab-1", ready_since=time.time())
    whole.pod("shop-12ab-2")
    whole.hear("shop-12ab-1", line(at=100.0, uptime=0.0, busy=2, idle=3, letters="W2_3", accesses=0))
    whole.clock = 102.0
    whole.hear("shop-12ab-1", line(at=102.0, uptime=2.0, busy=2, idle=3, letters="W2_3", accesses=40))
    auto = dict(
        one.split(": ", 1) for one in (await whole.ask(f"{SHOP}?auto"))[2].splitlines() if ": " in one
    )
    document = json.loads((await whole.ask(f"{SHOP}?json"))[2])
    page = (await whole.ask())[2]
    assert auto["Scoreboard"] == document["scoreboard"] == "WW___SSSSS.........."
    assert auto["BusyWorkers"] == str(document["workers"]["busy"]) == "2"
    assert auto["IdleWorkers"] == str(document["workers"]["idle"]) == "3"
    assert auto["Total Accesses"] == str(document["totals"]["accesses"]) == "40"
    assert "Total accesses: 40 - " in page
    assert "2 requests currently being processed, 0 workers gracefully restarting, 3 idle workers" in page
    assert "<pre>WW___SSSSS..........</pre>" in page
    assert whole.sample("mpm_webserver_accesses_total") == 40
    assert whole.sample("mpm_webserver_workers", state="busy") == 2
    assert whole.sample("mpm_webserver_workers_busy_ratio") == 0.4


async def test_a_fresh_webserver_has_whole_pages(whole: Whole) -> None:
    """No pod yet, no status yet: nothing to divide by."""
    whole.caches[WEBSERVERS].put(
        {"metadata": {"namespace": "demo", "name": "shop", "resourceVersion": "2"}, "spec": {}}
    )
    text = (await whole.ask(f"{SHOP}?auto"))[2]
    assert text.startswith("demo/shop\nServerVersion: ")
    assert text.endswith("Scoreboard:\n")
    for name in ("ReqPerSec", "BytesPerReq", "CPULoad", "nan", "inf"):
        assert name not in text
    assert (await whole.ask())[0] == (await whole.ask(f"{SHOP}?json"))[0] == 200
    for family in text_string_to_metric_families(whole.metrics()):
        assert all(math.isfinite(sample.value) for sample in family.samples), family.name


async def test_a_ready_pod_that_never_spoke_grows_old(whole: Whole) -> None:
    """What a NetworkPolicy does that was there first: no line ever, so none that gets old."""
    whole.pod("shop-12ab-1", ready_since=time.time() - 3600)
    whole.pod("shop-12ab-2")
    assert whole.sample("mpm_webserver_scoreboard_age_seconds") == 0  # we began this moment
    whole.clock += 42.0
    assert whole.sample("mpm_webserver_scoreboard_age_seconds") == 42
    page = (await whole.ask())[2]
    assert "<td>42.0!</td>" in page
    assert "<td>0.0</td>" in page
    assert json.loads((await whole.ask(f"{SHOP}?json"))[2])["pods"][0]["ageSeconds"] == 42


async def test_counters_only_grow_whatever_pods_do(whole: Whole, line: Callable[..., Line]) -> None:
    def counters() -> dict[str, float]:
        return {
            sample.name + str(sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(whole.metrics())
            if family.type == "counter"
            for sample in family.samples
        }

    seen = counters()
    steps: list[tuple[str, dict[str, Any]]] = [
        ("a", {"boot": "a1", "accesses": 50}),
        ("b", {"boot": "b1", "accesses": 5}),
        ("a", {"boot": "a2", "accesses": 1}),
        ("b", {"boot": "b1", "accesses": 2}),
        ("c", {"boot": "c1", "accesses": 9}),
    ]
    for name, said in steps:
        whole.clock += 1.0
        whole.pod(name)
        whole.hear(name, line(at=whole.clock, uptime=0.5, letters="_5", idle=5, **said))
        for other in {"a", "b"} - {name}:
            whole.lines.pop(other, None)
        now = counters()
        assert all(now[sample] >= seen[sample] for sample in seen)
        seen = now
    assert whole.sample("mpm_webserver_accesses_total") == 50 + 5 + 1 + 9


@pytest.mark.usefixtures("agents")
def test_promtool_finds_nothing_wrong(whole: Whole, line: Callable[..., Line]) -> None:
    whole.pod("a", ready_since=time.time())
    whole.hear("a", line(busy=2, idle=3, letters="W2_3"))
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=whole.metrics() + generate_latest(own.REGISTRY).decode(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


async def test_a_standby_shows_no_webserver(whole: Whole) -> None:
    """Else every sum over the replicas of the operator would be double."""
    assert "mpm_webserver" in whole.metrics()
    whole.leader = "127.0.0.1:1"
    assert "mpm_webserver" not in whole.metrics()
