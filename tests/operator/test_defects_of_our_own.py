"""An error that nobody foresaw: counted, told in the condition, tried again ever later."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
from api_server import Answers, serving
from kubernetes.client import ApiClient, Configuration

from mpm_operator.core.record import Ring
from mpm_operator.kube import metrics
from mpm_operator.kube.build import Builder
from mpm_operator.kube.caches import Caches
from mpm_operator.kube.children import Applier
from mpm_operator.kube.client import Client
from mpm_operator.kube.events import Recorder
from mpm_operator.kube.execute import Executor
from mpm_operator.kube.keys import MasterKeys
from mpm_operator.kube.observe import Observer
from mpm_operator.kube.reconciler import Reconciler, Tools
from mpm_operator.kube.resize import Resizer
from mpm_operator.kube.resources import DEPLOYMENTS, WEBSERVERS, Key
from mpm_operator.kube.scoreboards import Scoreboards
from mpm_operator.kube.status import StatusWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOP = Key("demo", "shop")
META = {"name": "shop", "namespace": "demo", "resourceVersion": "1"}
SPEC = {"app": {"module": "shop:app"}}
OWNERS = [{"kind": "WebServer", "uid": "uid-1", "controller": True}]


class Strange(Answers):
    """Takes every write; what it says of the Deployment is nothing that an API server would say."""

    paths: list[str]
    statuses: list[dict[str, Any]]

    def do_PATCH(self) -> None:
        self.paths.append(self.path)
        body = self.document()
        if "/status" in self.path:
            self.statuses.append(body["status"])
            body["spec"] = SPEC
        body["metadata"] |= {"uid": "uid-1", "resourceVersion": str(len(self.paths) + 1)}
        self.answer(200, {} if "/deployments/" in self.path else body)

    def do_POST(self) -> None:
        self.answer(200, self.document())

    def do_GET(self) -> None:
        found = "/secrets/mpm-operator-control" in self.path
        key = {"metadata": META, "data": {"current": b64encode(b"1:" + b"ab" * 32).decode()}}
        self.answer(200 if found else 404, key if found else {"reason": "NotFound", "message": "no"})


class Desk:
    """A reconciler with all its services, and a clock that is moved by hand."""

    def __init__(self, address: str, handler: type[Strange]) -> None:
        self.handler, self.now = handler, 1000.0
        configuration = Configuration()
        configuration.host = address
        self.caches = caches = Caches()
        self.client = client = Client(ApiClient(configuration), lambda: 10.0)
        boards = Scoreboards(lambda key: None, lambda: 10.0)
        observer = Observer(caches, boards.report, self.clock)
        self.keys = MasterKeys(client, "demo")
        self.reconciler = Reconciler(
            Tools(
                caches=caches,
                observer=observer,
                applier=Applier(client, caches, self.clock),
                executor=Executor(client, caches, boards, self.clock),
                status=StatusWriter(client, caches, self.clock),
                recorder=Recorder(client, "test", self.clock),
                resizer=Resizer(client, caches, self.clock),
                keys=self.keys,
                builder=Builder(caches, observer, self.keys, "worker:1", 600),
                ring=Ring(),
                clock=self.clock,
            )
        )
        caches[WEBSERVERS].put({"metadata": META | {"uid": "uid-1", "generation": 1}, "spec": SPEC})
        running = {"replicas": 3, "template": {"metadata": {}, "spec": {}}}
        meta = META | {"uid": "uid-2", "ownerReferences": OWNERS}
        caches[DEPLOYMENTS].put({"metadata": meta, "spec": running})

    def clock(self) -> float:
        return self.now

    @property
    def attempts(self) -> int:
        return sum("/deployments/" in path for path in self.handler.paths)

    @property
    def conditions(self) -> dict[str, tuple[str, str]]:
        last = self.handler.statuses[-1]["conditions"]
        return {one["type"]: (one["reason"], one["message"]) for one in last}


@pytest.fixture
def desk() -> Iterator[Desk]:
    handler = type("Handler", (Strange,), {"paths": [], "statuses": []})
    with serving(handler) as address:
        made = Desk(address, handler)
        yield made
        made.client.close()


def defects() -> float:
    return float(metrics.RECONCILES.labels("defect")._value.get())


async def test_an_apply_that_trips_us_is_told_counted_and_tried_again_ever_later(desk: Desk) -> None:
    await desk.keys.load()
    before = defects()
    await desk.reconciler.reconcile(SHOP)
    assert defects() == before + 1
    reason, message = desk.conditions["Accepted"]
    assert reason == "InternalError"
    assert "KeyError" in message
    assert desk.conditions["ScalingActive"][0] == "Scoreboards", "the pods are looked after all the same"
    tries = []
    for _ in range(40):
        attempts = desk.attempts
        desk.now += 0.5
        await desk.reconciler.reconcile(SHOP)
        if desk.attempts > attempts:
            tries.append(desk.now - 1000.0)
    assert tries == [1.0, 3.0, 7.0, 15.0]


async def test_a_turn_that_trips_us_anywhere_else_is_told_as_well(desk: Desk) -> None:
    """An object that no API server gives us: a Deployment with nothing in it."""
    await desk.keys.load()
    meta = META | {"uid": "uid-2", "ownerReferences": OWNERS, "resourceVersion": "2"}
    desk.caches[DEPLOYMENTS].put({"metadata": meta, "spec": None})
    with pytest.raises(AttributeError):
        await desk.reconciler.reconcile(SHOP)
    assert desk.conditions["Accepted"][0] == "InternalError"
    assert desk.conditions["Ready"][0] == "InternalError"
