"""CPU and memory follow the threads of running pods, and nothing restarts for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from api_server import Answers, serving
from kubernetes.client import ApiClient, Configuration

from mpm_operator.kube.caches import Caches
from mpm_operator.kube.client import Client
from mpm_operator.kube.resize import MOST_A_TURN, RETRY_SECONDS, Resizer, amount, missing
from mpm_operator.kube.resources import PODS, WEBSERVER_LABEL, Key
from mpm_operator.manifests.pod import resources

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from .conftest import Stage


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("100m", 0.1),
        ("2", 2.0),
        ("1500m", 1.5),
        ("256Mi", 2**28),
        ("1Gi", 2**30),
        ("5k", 5000.0),
        (None, 0.0),
    ],
)
def test_quantities_are_numbers(text: str | None, number: float) -> None:
    assert amount(text) == pytest.approx(number)


def test_what_is_there_is_not_asked_for_again() -> None:
    for processes, threads in ((1, 5), (1, 25), (1, 100), (8, 1), (3, 60)):
        wanted = resources(processes, threads)
        assert missing(wanted, wanted) == {}
        assert missing({}, wanted) == wanted


def test_a_memory_limit_is_never_lowered_and_a_request_is() -> None:
    assert missing(resources(1, 100), resources(1, 25)) == {"requests": resources(1, 25)["requests"]}


def test_the_servers_own_spelling_is_no_difference() -> None:
    have = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    wanted = {"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": {"memory": "2048Mi"}}
    assert missing(have, wanted) == {}


def test_a_request_never_is_above_its_limit() -> None:
    for processes in range(1, 40):
        for threads in (1, 24, 25, 26, 64, 500):
            found = resources(processes, threads)
            assert amount(found["requests"]["memory"]) < amount(found["limits"]["memory"])


class Refusing(Answers):
    """An API server that knows no pods/resize."""

    paths: list[str]

    def do_PATCH(self) -> None:
        self.paths.append(self.path)
        self.answer(404, {"reason": "NotFound", "message": "the server could not find it"})


SHOP = Key("demo", "shop")


def pod(name: str) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "namespace": "demo", "uid": f"uid-{name}", "resourceVersion": "1"}
    meta |= {"labels": {WEBSERVER_LABEL: "shop"}}
    meta |= {"ownerReferences": [{"kind": "ReplicaSet", "name": "shop-5d9", "controller": True}]}
    return {"metadata": meta, "spec": {"containers": [{"name": "worker", "resources": resources(1)}]}}


def desk(address: str, names: Collection[str], now: list[float]) -> tuple[Client, Resizer]:
    """Return a resizer that knows the pods called `names`, by the clock `now`."""
    configuration = Configuration()
    configuration.host = address
    configuration.retries = False
    client, caches = Client(ApiClient(configuration), lambda: 10.0), Caches()
    for name in names:
        caches[PODS].put(pod(name))
    return client, Resizer(client, caches, lambda: now[0])


@pytest.fixture
def server() -> type[Refusing]:
    return Refusing


@pytest.fixture
def served(server: type[Refusing]) -> Iterator[tuple[str, list[str]]]:
    handler = type("Handler", (server,), {"paths": []})
    with serving(handler) as address:
        yield address, handler.paths


async def test_a_cluster_that_cannot_is_asked_once_a_minute_and_told_of_all_the_time(
    served: tuple[str, list[str]],
) -> None:
    address, paths = served
    now, told = [1000.0], []
    client, resizer = desk(address, {"shop-1"}, now)
    for _ in range(100):
        told.append(await resizer.follow(SHOP, 1, 100, {"shop-1"}))
        now[0] += 1.0
    assert paths == ["/api/v1/namespaces/demo/pods/shop-1/resize?fieldManager=mpm-operator"] * 2
    assert set(told[1:]) == {"the cluster cannot: the server could not find it"}
    assert await resizer.follow(SHOP, 1, 25, {"shop-1"}) == "", "it has what that needs"
    client.close()


class Taking(Refusing):
    """An API server whose answer is the pod as it was: somebody else's webhook, or an older watch event."""

    def do_PATCH(self) -> None:
        self.paths.append(self.path)
        self.answer(200, pod(self.path.split("/")[6]))


class Hanging(Refusing):
    """An API server that ends the connection without an answer."""

    def do_PATCH(self) -> None:
        self.paths.append(self.path)
        self.close_connection = True


@pytest.mark.parametrize("server", [Taking])
async def test_the_same_is_not_asked_twice_in_a_minute_nor_of_many_pods_in_one_turn(
    served: tuple[str, list[str]],
) -> None:
    address, paths = served
    now = [1000.0]
    names = {f"shop-{number}" for number in range(MOST_A_TURN + 3)}
    client, resizer = desk(address, names, now)
    counts = []
    for _ in range(4):
        await resizer.follow(SHOP, 1, 100, names)
        counts.append(len(paths))
        now[0] += 1.0
    assert counts == [MOST_A_TURN, len(names), len(names), len(names)]
    now[0] += RETRY_SECONDS
    await resizer.follow(SHOP, 1, 100, names)
    assert len(paths) == len(names) + MOST_A_TURN
    client.close()


@pytest.mark.parametrize("server", [Hanging])
async def test_a_resize_without_an_answer_is_told_and_ends_no_turn(served: tuple[str, list[str]]) -> None:
    address, paths = served
    now = [1000.0]
    client, resizer = desk(address, {"shop-1"}, now)
    for _ in range(3):
        told = await resizer.follow(SHOP, 1, 100, {"shop-1"})
        now[0] += 1.0
    assert told.startswith("no answer: ")
    assert len(paths) == 1
    client.close()


def container(stage: Stage) -> dict[str, Any]:
    (pod,) = stage.pods()
    (found,) = pod["spec"]["containers"]
    return dict(found)


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_more_threads_get_more_memory_and_cpu_in_place(stage: Stage) -> None:
    stage.start_operator()
    few = {"threadsPerChild": 5, "threadLimit": 100, "minSpareThreads": 2, "maxSpareThreads": 200}
    stage.server(mpm=few | {"maxRequestWorkers": 100})
    stage.ready(1)
    (before,) = stage.pods()
    (board,) = stage.boards()
    failures = stage.load(3, 30)
    stage.patch({"spec": {"mpm": {"threadsPerChild": 100}}})
    wanted = resources(1, 100)
    stage.until(lambda: container(stage)["resources"] == wanted, 60, "the resources in the pod")

    def given() -> bool:
        (now,) = stage.boards()
        return bool(now["memory"]["limit"] == 640 * 2**20 and now["settings"]["threadsPerChild"] == 100)

    stage.until(given, 60, "the supervisor to see its new limit")
    (after,) = stage.pods()
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0
    assert stage.boards()[0]["boot"] == board["boot"]
    stage.patch({"spec": {"mpm": {"threadsPerChild": 5}}})
    less = {"requests": resources(1, 5)["requests"], "limits": wanted["limits"]}
    stage.until(lambda: container(stage)["resources"] == less, 60, "the requests to go down again")
    stage.loads[0].terminate()
    assert not failures()


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_nothing_is_resized_where_the_spec_says_otherwise(stage: Stage) -> None:
    stage.start_operator()
    spec = {"threadsPerChild": 5, "threadLimit": 100, "maxRequestWorkers": 100, "maxSpareThreads": 200}
    own = {"limits": {"memory": "300Mi"}, "requests": {"memory": "100Mi", "cpu": "50m"}}
    template = {"spec": {"containers": [{"name": "worker", "resources": own}]}}
    stage.server("mine", mpm=spec, podTemplate=template)
    stage.server("never", mpm=spec, scaling={"resize": "Never"})
    for name in ("mine", "never"):
        stage.ready(1, name)
        stage.patch({"spec": {"mpm": {"threadsPerChild": 100}}}, name)

    def changed(name: str) -> bool:
        (board,) = stage.boards(name)
        return bool(board["settings"]["threadsPerChild"] == 100)

    for name in ("mine", "never"):
        stage.until(lambda of=name: changed(of), 60, f"the threads of {name}")  # type: ignore[misc]
    sizes = {name: stage.pods(name)[0]["spec"]["containers"][0]["resources"] for name in ("mine", "never")}
    assert sizes == {"mine": own, "never": resources(1)}


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_a_resize_that_the_node_has_no_room_for_is_told_and_serving_goes_on(stage: Stage) -> None:
    stage.start_operator()
    huge = {"threadsPerChild": 5, "threadLimit": 20000, "maxRequestWorkers": 20000, "maxSpareThreads": 20000}
    stage.server(mpm=huge)
    stage.ready(1)
    (pod,) = stage.pods()
    quota = {"hard": {"requests.memory": "200Mi"}}
    stage.kubectl(
        "create",
        "--filename=-",
        input=json.dumps(
            {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": quota}
        ),
    )
    stage.until(
        lambda: (stage.need("resourcequota", "small").get("status") or {}).get("used"), 60, "the quota"
    )
    stage.patch({"spec": {"mpm": {"threadsPerChild": 200}}})
    stage.until(lambda: "spec.scaling.resize" in stage.message("Accepted"), 60, "the condition")
    assert stage.condition("Accepted") == ("True", "Corrected")
    assert "quota" in stage.message("Accepted")
    stage.until(
        lambda: stage.boards()[0]["settings"]["threadsPerChild"] == 200, 60, "the threads nevertheless"
    )
    assert stage.pods()[0]["metadata"]["uid"] == pod["metadata"]["uid"]
