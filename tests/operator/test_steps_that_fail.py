"""A pod that takes no calls against the rest of the plan, with an API server that takes every apply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from api_server import Answers, serving
from kubernetes.client import ApiClient, Configuration

from mpm_operator.core.plan import Control, Plan
from mpm_operator.kube.caches import Caches
from mpm_operator.kube.children import Applier, ChildRefused
from mpm_operator.kube.client import Client
from mpm_operator.kube.execute import Executor, PodsRefused, StepFailed
from mpm_operator.kube.resources import DEPLOYMENTS, PODS, WEBSERVER_LABEL, Key
from mpm_operator.kube.scoreboards import Scoreboards
from mpm_operator.manifests import Owner, scale

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOP = Key("demo", "shop")
OWNER = Owner("shop", "demo", "uid-of-shop")


class Taker(Answers):
    """Answers every apply with the object and a newer version, or refuses when `refusing`."""

    refusing = False
    applied: ClassVar[list[str]] = []
    """Paths with query, in order."""

    def do_PATCH(self) -> None:
        self.applied.append(self.path)
        body = self.document()
        body["metadata"] |= {"uid": "uid-d", "resourceVersion": "100"}
        if self.refusing:
            body = {"kind": "Status", "reason": "Forbidden", "message": "not today"}
        self.answer(403 if self.refusing else 200, body)


class Desk:
    """An executor, a Deployment of one replica, and a pod that nobody ever heard."""

    def __init__(self, address: str) -> None:
        configuration = Configuration()
        configuration.host = address
        self.caches = Caches()
        self.client = Client(ApiClient(configuration), lambda: 10.0)
        boards = Scoreboards(lambda key: None, lambda: 10.0)
        self.executor = Executor(self.client, self.caches, boards)
        for kind, name in ((DEPLOYMENTS, "shop"), (PODS, "shop-1")):
            meta: dict[str, Any] = {"name": name, "namespace": "demo", "uid": f"uid-{name}"}
            meta |= {"resourceVersion": "1", "labels": {WEBSERVER_LABEL: "shop"}}
            keeper = {"kind": "ReplicaSet", "name": "shop-5d9"} if kind == PODS else {"uid": OWNER.uid}
            meta |= {"ownerReferences": [keeper | {"controller": True}]}
            self.caches[kind].put({"metadata": meta, "spec": {"replicas": 1}})

    async def execute(self, plan: Plan) -> None:
        await self.executor.execute(SHOP, OWNER, [b"k" * 32], plan, may_scale=True)

    @property
    def replicas(self) -> int | None:
        return self.executor.replicas(SHOP)


@pytest.fixture
def handler() -> type[Taker]:
    return type("Handler", (Taker,), {"applied": []})


@pytest.fixture
def desk(handler: type[Taker]) -> Iterator[Desk]:
    with serving(handler) as address:
        made = Desk(address)
        yield made
        made.client.close()


async def test_growth_does_not_wait_for_a_pod_that_takes_no_calls(desk: Desk) -> None:
    lower = (Control("shop-1", {"threadsCeiling": 3}),)
    with pytest.raises(PodsRefused, match="shop-1"):
        await desk.execute(Plan(desired=3, replicas=3, lower=lower))
    assert desk.replicas == 3


async def test_what_the_api_server_refuses_is_tried_again_after_a_backoff(
    desk: Desk, handler: type[Taker]
) -> None:
    handler.refusing = True
    with pytest.raises(StepFailed, match="not today") as caught:
        await desk.execute(Plan(desired=3, replicas=3))
    assert not isinstance(caught.value, PodsRefused)
    assert desk.replicas == 1


@pytest.mark.parametrize("refusing", [True, False])
async def test_victims_are_recalled_only_for_a_template_that_the_server_takes(
    desk: Desk, handler: type[Taker], refusing: bool
) -> None:
    handler.refusing = refusing
    applier = Applier(desk.client, desk.caches)
    changes_before_recall = []

    async def recall() -> None:
        changes_before_recall.append(sum("dryRun" not in path for path in handler.applied))

    wanted = scale(OWNER, 1)
    wanted["spec"]["minReadySeconds"] = 5
    try:
        await applier.apply(SHOP, OWNER.uid, [wanted], recall)
    except ChildRefused:
        assert refusing
    assert changes_before_recall == ([] if refusing else [0])
    assert len(handler.applied) == (1 if refusing else 2)


async def test_a_deployment_made_with_its_replicas_keeps_them_when_it_is_applied_without(
    desk: Desk, handler: type[Taker]
) -> None:
    """A field that its only owner leaves out falls back to its default: one pod."""
    live = desk.caches[DEPLOYMENTS].get("demo", "shop")
    assert live is not None
    meta = live["metadata"] | {"resourceVersion": "2"}
    desk.caches[DEPLOYMENTS].put(live | {"metadata": meta, "spec": {"replicas": 3}})
    wanted = scale(OWNER, 3)
    wanted["spec"] = {"minReadySeconds": 5}
    await Applier(desk.client, desk.caches).apply(SHOP, OWNER.uid, [wanted])
    asked, kept, applied = handler.applied
    assert "dryRun" in asked
    assert "fieldManager=mpm-operator-scale" in kept
    assert "fieldManager=mpm-operator&" in applied
