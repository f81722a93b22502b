"""Only what a running pod cannot take over changes the pod template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mpm_operator.manifests import ControlKeys, control_key
from mpm_operator.manifests.crd import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mpm_operator.manifests import Children


LIVE: list[dict[str, Any]] = [
    {"mpm": {"startServers": 7}},
    {"mpm": {"threadsPerChild": 20}},
    {"mpm": {"minSpareThreads": 30}},
    {"mpm": {"maxSpareThreads": 300}},
    {"mpm": {"maxRequestWorkers": 100}},
    {"mpm": {"serverLimit": 100}},
    {"mpm": {"maxConnectionsPerChild": 1000}},
    {"mpm": {"maxRssBytes": 1 << 28}},
    {"mpm": {"requestTimeoutSeconds": 30}},
    {"mpm": {"asyncRequestWorkerFactor": 4}},
    {"http": {"timeoutSeconds": 10}},
    {"http": {"keepAlive": False}},
    {"http": {"keepAliveTimeoutSeconds": 2}},
    {"http": {"maxKeepAliveRequests": 7}},
    {"http": {"limitRequestBodyBytes": 1024}},
    {"scaling": {"minReplicas": 2}},
    {"scaling": {"scaleDownStabilizationSeconds": 1}},
    {"scaling": {"waitProbabilityPercent": 20}},
    {"scaling": {"resize": "Never"}},
    {"service": {"port": 81}},
    {"service": {"type": "NodePort"}},
    {"paused": True},
    {"replicas": 4},
]

ROLLING: list[dict[str, Any]] = [
    {"image": "shop:2"},
    {"app": {"module": "shop:other"}},
    {"mpm": {"type": "Worker"}},
    {"mpm": {"type": "Prefork"}},
    {"mpm": {"threadLimit": 128}},
    {"mpm": {"listenBacklog": 1024}},
    {"mpm": {"processesPerPod": 2}},
    {"extendedStatus": True},
    {"mpm": {"gracefulShutdownTimeoutSeconds": 61}},
    {"scaling": {"drainDelaySeconds": 6}},
    {"podTemplate": {"metadata": {"labels": {"team": "a"}}}},
    {"podTemplate": {"metadata": {"annotations": {"team": "a"}}}},
    {"podTemplate": {"spec": {"nodeSelector": {"disk": "ssd"}}}},
]

ELSEWHERE = {
    "engine": "there is one",
    "app.configMapRef.name": "test_a_changed_file_of_the_app_rolls_the_pods",
    "mpm.minSpareServers": "only in Prefork, test_spare_servers_roll_no_pod",
    "mpm.maxSpareServers": "only in Prefork, test_spare_servers_roll_no_pod",
}
"""Fields that are not in the tables, and where they are."""


def template(built: Children) -> Any:
    return built.deployment["spec"]["template"]


def leaves(node: dict[str, Any], path: str) -> Iterator[str]:
    if "properties" not in node:
        yield path
    for name, inner in node.get("properties", {}).items():
        yield from leaves(inner, f"{path}.{name}" if path else name)


def changed(changes: list[dict[str, Any]]) -> set[str]:
    def walk(value: Any, path: str) -> Iterator[str]:
        if isinstance(value, dict) and path not in FREE:
            for name, inner in value.items():
                yield from walk(inner, f"{path}.{name}" if path else name)
        else:
            yield path

    return {path for change in changes for path in walk(change, "")}


FREE = {"podTemplate.spec", "podTemplate.metadata.labels", "podTemplate.metadata.annotations"}


def test_the_tables_know_every_field_of_the_spec() -> None:
    assert changed(LIVE) | changed(ROLLING) | set(ELSEWHERE) == set(
        leaves(schema()["properties"]["spec"], "")
    )


@pytest.mark.parametrize("change", LIVE, ids=str)
def test_a_live_setting_rolls_no_pod(build: Callable[..., Children], change: dict[str, Any]) -> None:
    before = build()
    assert template(build(change, running=before.deployment)) == template(before)


@pytest.mark.parametrize("change", ROLLING, ids=str)
def test_what_needs_new_pods_rolls_them(build: Callable[..., Children], change: dict[str, Any]) -> None:
    before = build()
    assert template(build(change, running=before.deployment)) != template(before)


def test_spare_servers_roll_no_pod(build: Callable[..., Children]) -> None:
    before = build({"mpm": {"type": "Prefork"}})
    change = {"mpm": {"type": "Prefork", "minSpareServers": 9, "maxSpareServers": 30}}
    assert template(build(change, running=before.deployment)) == template(before)


def test_a_changed_file_of_the_app_rolls_the_pods(build: Callable[..., Children]) -> None:
    spec = {"app": {"module": "app:app", "configMapRef": {"name": "code"}}}
    one, two = (template(build(spec, app_data={"app.py": text})) for text in ("a", "b"))
    generation = "mpm-operator.io/generation"
    assert one["metadata"]["annotations"][generation] != two["metadata"]["annotations"][generation]


def test_the_order_of_the_apps_files_is_no_change(build: Callable[..., Children]) -> None:
    spec = {"app": {"module": "app:app", "configMapRef": {"name": "code"}}}
    one, two = {"a.py": "1", "b.py": "2"}, {"b.py": "2", "a.py": "1"}
    assert template(build(spec, app_data=one)) == template(build(spec, app_data=two))


def test_rotated_keys_roll_no_pod(build: Callable[..., Children]) -> None:
    keys = ControlKeys(control_key(b"n" * 32, "u", 2), control_key(b"m" * 32, "u", 1))
    assert template(build(keys=keys)) == template(build())


def test_pods_have_time_for_the_delay_the_drain_and_a_margin(build: Callable[..., Children]) -> None:
    spec = {"mpm": {"gracefulShutdownTimeoutSeconds": 30}, "scaling": {"drainDelaySeconds": 4}}
    assert template(build(spec))["spec"]["terminationGracePeriodSeconds"] == 30 + 4 + 10


def test_a_drain_without_limit_is_a_finite_one(build: Callable[..., Children]) -> None:
    spec = {"mpm": {"gracefulShutdownTimeoutSeconds": 0}}
    assert template(build(spec))["spec"]["terminationGracePeriodSeconds"] == 3600 + 5 + 10


def test_a_shorter_drain_waits_for_the_next_rollout(build: Callable[..., Children]) -> None:
    shorter = {"mpm": {"gracefulShutdownTimeoutSeconds": 10}, "scaling": {"drainDelaySeconds": 1}}
    before = build()
    assert template(build(shorter, running=before.deployment)) == template(before)
    rolled = build(shorter | {"image": "shop:2"}, running=before.deployment)
    assert template(rolled)["spec"]["terminationGracePeriodSeconds"] == 21


def test_a_longer_delay_rolls_pods_even_if_their_grace_period_has_room_for_it(
    build: Callable[..., Children],
) -> None:
    before = build({"mpm": {"gracefulShutdownTimeoutSeconds": 100}})
    change = {"mpm": {"gracefulShutdownTimeoutSeconds": 10}, "scaling": {"drainDelaySeconds": 20}}
    assert template(build(change, running=before.deployment)) != template(before)


def test_a_rollout_uses_what_server_limit_leaves_free(build: Callable[..., Children]) -> None:
    def strategy(**mpm: int) -> Any:
        spec = {"mpm": {"threadsPerChild": 10, "maxRequestWorkers": 100, **mpm}}
        return build(spec).deployment["spec"]["strategy"]["rollingUpdate"]

    assert strategy(serverLimit=14) == {"maxSurge": 4, "maxUnavailable": 0}
    assert strategy(serverLimit=10) == {"maxSurge": 0, "maxUnavailable": 1}
