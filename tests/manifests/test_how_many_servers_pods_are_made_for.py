"""processesPerPod changes live while the pods can hold it; what rolls them is made for what is wanted."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_operator.manifests import Children

    Build = Callable[..., Children]

OWN = {"spec": {"containers": [{"name": "worker", "resources": {"limits": {"memory": "4Gi"}}}]}}


def spec(servers: int, **parts: Any) -> dict[str, Any]:
    return {"mpm": {"processesPerPod": servers, "maxRequestWorkers": 10_000}, **parts}


def rolls(build: Build, before: dict[str, Any], after: dict[str, Any]) -> bool:
    running = build(before).deployment
    built = build(after, running=running)
    template = built.deployment["spec"]["template"]
    same = template == running["spec"]["template"]
    assert same == (built.generation == running["spec"]["template"]["metadata"]["annotations"][GENERATION])
    return not same


GENERATION = "mpm-operator.io/generation"


@pytest.mark.parametrize(("made_for", "live"), [(1, 32), (16, 32), (17, 34), (100, 200)])
def test_up_to_the_limit_of_what_runs_it_is_live(build: Build, made_for: int, live: int) -> None:
    for servers in {1, made_for, live}:
        assert not rolls(build, spec(made_for), spec(servers))
    assert rolls(build, spec(made_for), spec(live + 1))


def test_without_resizes_in_place_more_servers_are_new_pods_and_fewer_are_not(build: Build) -> None:
    never = {"scaling": {"resize": "Never"}}
    assert rolls(build, spec(4, **never), spec(5, **never))
    assert not rolls(build, spec(4, **never), spec(1, **never))


def test_resources_of_ones_own_hold_more_servers_without_a_resize(build: Build) -> None:
    own = {"scaling": {"resize": "Never"}, "podTemplate": OWN}
    assert not rolls(build, spec(4, **own), spec(5, **own))


def test_new_pods_start_with_no_more_servers_than_they_have_memory_for(build: Build) -> None:
    def boots(built: Children) -> int:
        return int(tomllib.loads(built.config_map["data"]["mpm.toml"])["processes"])

    running = build(spec(4))
    assert boots(running) == 4
    assert boots(build(spec(8), running=running.deployment)) == 4
    assert boots(build(spec(3), running=running.deployment)) == 3


def test_what_rolls_for_another_reason_is_made_for_the_new_number(build: Build) -> None:
    running = build(spec(4)).deployment
    rolled = build(spec(8, image="shop:2"), running=running)
    afresh = build(spec(8, image="shop:2"))
    assert rolled.deployment["spec"]["template"] == afresh.deployment["spec"]["template"]
    assert rolled.config_map == afresh.config_map


def test_a_live_change_and_back_is_as_if_nothing_was(build: Build) -> None:
    first = build(spec(4))
    more = build(spec(20), running=first.deployment)
    back = build(spec(4), running=more.deployment)
    assert back.deployment["spec"] == first.deployment["spec"]
    assert back.config_map == first.config_map


def test_a_deployment_of_an_older_operator_rolls_once(build: Build) -> None:
    running = build(spec(4)).deployment
    del running["spec"]["template"]["metadata"]["annotations"]["mpm-operator.io/made-for-servers"]
    built = build(spec(5), running=running)
    assert built.deployment["spec"]["template"] == build(spec(5)).deployment["spec"]["template"]
