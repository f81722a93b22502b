"""What a child had and shall have no more: taken away, also by an operator that did not put it there."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from api_server import Answers, serving
from kubernetes.client import ApiClient, Configuration

from mpm_operator.kube.caches import Caches
from mpm_operator.kube.children import Applier, leftovers
from mpm_operator.kube.client import Client
from mpm_operator.kube.resources import SECRETS, Key
from mpm_operator.manifests import Owner

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOP = Key("demo", "shop")
OWNER = Owner("shop", "demo", "uid-1")


def secret(**data: str) -> dict[str, Any]:
    meta = OWNER.metadata(OWNER.secret_name)
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "data": data}


class Keeper(Answers):
    """Answers an apply as an API server: the fields applied, and what somebody else put there."""

    others: dict[str, str]
    applied: list[dict[str, Any]]

    def do_PATCH(self) -> None:
        body = self.document()
        self.applied.append(deepcopy(body))
        body["data"] |= self.others
        body["metadata"] |= {"uid": "uid-2", "resourceVersion": str(len(self.applied) + 10)}
        self.answer(200, body)


class Desk:
    """An applier that begins with a Secret in its cache, and an API server for it."""

    def __init__(self, address: str, keeper: type[Keeper], live: dict[str, Any]) -> None:
        configuration = Configuration()
        configuration.host = address
        self.keeper, caches = keeper, Caches()
        self.client = Client(ApiClient(configuration), lambda: 10.0)
        self.applier = Applier(self.client, caches)
        live["metadata"] |= {"uid": "uid-2", "resourceVersion": "1"}
        caches[SECRETS].put(live)

    async def want(self, body: dict[str, Any]) -> int:
        """Return how many applies it took."""
        before = len(self.keeper.applied)
        await self.applier.apply(SHOP, OWNER.uid, [body])
        return len(self.keeper.applied) - before


@pytest.fixture
def desk() -> Iterator[Desk]:
    keeper = type("Handler", (Keeper,), {"others": {}, "applied": []})
    with serving(keeper) as address:
        made = Desk(address, keeper, secret(current="Mg==", previous="MQ=="))
        yield made
        made.client.close()


async def test_a_control_key_that_was_given_up_is_taken_from_the_pods(desk: Desk) -> None:
    assert await desk.want(secret(current="Mg==", previous="MQ==")) == 0, "nothing differs"
    assert await desk.want(secret(current="Mg==")) == 1
    assert desk.keeper.applied[-1]["data"] == {"current": "Mg=="}
    assert await desk.want(secret(current="Mg==")) == 0


async def test_what_somebody_else_put_beside_it_is_asked_for_once(desk: Desk) -> None:
    desk.keeper.others["theirs"] = "eA=="
    assert await desk.want(secret(current="Mg==")) == 1
    assert [await desk.want(secret(current="Mg==")) for _ in range(3)] == [0, 0, 0], "no fight"


def test_annotations_count_when_they_are_of_our_domain() -> None:
    live = {"metadata": {"annotations": {"mpm-operator.io/failed-rollout": "{}", "team": "web", "kept": ""}}}
    assert leftovers({"metadata": {"annotations": {"kept": ""}}}, live) == {"mpm-operator.io/failed-rollout"}
    assert leftovers(live, live) == frozenset()
