"""The caches: own writes overlay them, what is older is ignored, a listing puts them right."""

from __future__ import annotations

from typing import Any

import pytest

from mpm_operator.kube.caches import Cache, Caches
from mpm_operator.kube.client import Listing
from mpm_operator.kube.resources import (
    AUTOSCALERS,
    CONFIGMAPS,
    DEPLOYMENTS,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    PODS,
    WEBSERVER_LABEL,
    WEBSERVERS,
    Key,
)

SHOP = Key("demo", "shop")


def body(name: str, version: int, uid: str = "u1", labelled: bool = True, **rest: Any) -> dict[str, Any]:
    labels = {WEBSERVER_LABEL: "shop", MANAGED_BY_LABEL: MANAGED_BY} if labelled else {}
    meta = {"name": name, "namespace": "demo", "uid": uid, "resourceVersion": str(version), "labels": labels}
    keeper = {"kind": "ReplicaSet", "name": "shop-5d9", "controller": True}
    return {"metadata": meta | {"ownerReferences": [keeper]}, **rest}


@pytest.fixture
def deployments() -> Cache:
    return Cache(DEPLOYMENTS)


def replicas(cache: Cache) -> int | None:
    found = cache.get("demo", "shop")
    return found["spec"]["replicas"] if found is not None else None


def test_our_own_write_is_seen_before_the_watch_brings_it(deployments: Cache) -> None:
    assert deployments.put(body("shop", 5, spec={"replicas": 1}))
    assert deployments.put(body("shop", 9, spec={"replicas": 4})), "the answer to our write"
    assert not deployments.put(body("shop", 7, spec={"replicas": 2})), "an event from before our write"
    assert replicas(deployments) == 4
    assert not deployments.put(body("shop", 9, spec={"replicas": 4})), "the watch shows our write: no news"
    assert deployments.put(body("shop", 10, spec={"replicas": 6}))
    assert replicas(deployments) == 6


def test_an_event_from_before_a_deletion_brings_nothing_back(deployments: Cache) -> None:
    deployments.put(body("shop", 5, spec={"replicas": 1}))
    assert deployments.remove(body("shop", 8))
    assert not deployments.put(body("shop", 7, spec={"replicas": 1}))
    assert replicas(deployments) is None


def test_a_late_deletion_does_not_take_the_successor(deployments: Cache) -> None:
    deployments.put(body("shop", 5, uid="old", spec={"replicas": 1}))
    deployments.put(body("shop", 9, uid="new", spec={"replicas": 3}))
    assert not deployments.remove(body("shop", 8, uid="old"))
    assert replicas(deployments) == 3


def test_a_listing_finds_what_the_watch_missed(deployments: Cache) -> None:
    deployments.put(body("shop", 5, spec={"replicas": 1}))
    deployments.put(body("ghost", 6, spec={"replicas": 1}))
    missed = deployments.confirm(Listing([body("shop", 8, spec={"replicas": 2})], 10), "")
    assert sorted(one["metadata"]["name"] for one in missed) == ["ghost", "shop"]
    assert replicas(deployments) == 2
    assert deployments.get("demo", "ghost") is None


def test_a_listing_does_not_remove_what_is_newer_than_it(deployments: Cache) -> None:
    deployments.put(body("shop", 12, spec={"replicas": 1}))
    assert deployments.confirm(Listing([], 10), "") == []
    assert replicas(deployments) == 1


def test_a_listing_of_one_namespace_says_nothing_of_another(deployments: Cache) -> None:
    deployments.put(body("shop", 5, spec={"replicas": 1}))
    assert deployments.confirm(Listing([], 10), "other") == []
    assert replicas(deployments) == 1


def test_objects_are_found_by_the_webserver_they_belong_to() -> None:
    pods = Cache(PODS)
    pods.put(body("shop-1", 1, uid="p1"))
    pods.put(body("shop-2", 2, uid="p2"))
    assert [pod["metadata"]["name"] for pod in pods.of(SHOP)] == ["shop-1", "shop-2"]
    pods.remove(body("shop-1", 3, uid="p1"))
    assert [pod["metadata"]["name"] for pod in pods.of(SHOP)] == ["shop-2"]


def test_a_users_configmap_is_kept_as_digests_and_ours_whole() -> None:
    cache = Cache(CONFIGMAPS)
    cache.put(body("code", 1, labelled=False, data={"app.py": "x" * 10_000}))
    cache.put(body("shop-mpm", 2, data={"mpm.toml": "threads = 5\n"}))
    theirs, ours = cache.get("demo", "code"), cache.get("demo", "shop-mpm")
    assert theirs is not None
    assert len(theirs["digests"]["app.py"]) == 64
    assert ours is not None
    assert ours["data"] == {"mpm.toml": "threads = 5\n"}


def test_a_users_configmap_concerns_the_webservers_that_name_it() -> None:
    caches = Caches()
    for name, code in (("shop", "code"), ("blog", "other")):
        caches[WEBSERVERS].put(
            body(name, 1, labelled=False, spec={"app": {"module": "a:b", "configMapRef": {"name": code}}})
        )
    assert caches.affected(CONFIGMAPS, body("code", 2, labelled=False)) == {SHOP}


@pytest.mark.parametrize(("kind", "concerned"), [("Deployment", {SHOP}), ("StatefulSet", set())])
def test_an_autoscaler_concerns_the_webserver_whose_deployment_it_scales(
    kind: str, concerned: set[Key]
) -> None:
    autoscaler = body("x", 1, labelled=False, spec={"scaleTargetRef": {"kind": kind, "name": "shop"}})
    assert Caches().affected(AUTOSCALERS, autoscaler) == concerned
