from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from mpm_operator.manifests.merge import conflicts, merged

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_operator.manifests import Children


def pod(built: Children) -> Any:
    return built.deployment["spec"]["template"]["spec"]


def worker(built: Children) -> Any:
    return next(container for container in pod(built)["containers"] if container["name"] == "worker")


def with_worker(**fields: Any) -> dict[str, Any]:
    return {"podTemplate": {"spec": {"containers": [{"name": "worker", **fields}]}}}


def test_defaults_can_be_changed_field_by_field(build: Callable[..., Children]) -> None:
    built = build(with_worker(resources={"limits": {"memory": "1Gi"}}))
    assert worker(built)["resources"]["limits"] == {"memory": "1Gi"}
    assert worker(built)["resources"]["requests"]["cpu"] == "100m"
    assert built.conflicts == ()


def test_a_null_takes_a_default_away(build: Callable[..., Children]) -> None:
    built = build({"podTemplate": {"spec": {"topologySpreadConstraints": None}}})
    assert "topologySpreadConstraints" not in pod(built)


def test_another_container_runs_beside_the_worker(build: Callable[..., Children]) -> None:
    built = build({"podTemplate": {"spec": {"containers": [{"name": "proxy", "image": "proxy:1"}]}}})
    assert [container["name"] for container in pod(built)["containers"]] == ["worker", "proxy"]


def test_environment_volumes_and_mounts_are_added(build: Callable[..., Children]) -> None:
    spec = with_worker(
        env=[{"name": "DB", "value": "x"}], volumeMounts=[{"name": "data", "mountPath": "/data"}]
    )
    spec["podTemplate"]["spec"]["volumes"] = [{"name": "data", "emptyDir": {}}]
    built = build(spec)
    assert {"name": "DB", "value": "x"} in worker(built)["env"]
    assert {"name": "data", "mountPath": "/data"} in worker(built)["volumeMounts"]
    assert {"name": "data", "emptyDir": {}} in pod(built)["volumes"]
    assert {entry["name"] for entry in worker(built)["env"]} > {"DB", "MPM_POD_UID"}


def test_what_the_operator_owns_wins_and_is_named(build: Callable[..., Children]) -> None:
    built = build(with_worker(image="mine:1", ports=[{"name": "http", "containerPort": 9000}]))
    assert worker(built)["image"] == "mpm-worker:1"
    assert worker(built)["ports"][0]["containerPort"] == 8080
    assert built.conflicts == (
        "`spec.podTemplate.spec.containers[name=worker].image` must be left out: "
        "the operator owns it and keeps `mpm-worker:1`",
        "`spec.podTemplate.spec.containers[name=worker].ports[name=http].containerPort` must be left out: "
        "the operator owns it and keeps `8080`",
    )


def test_a_variable_of_the_operator_is_replaced_as_a_whole(build: Callable[..., Children]) -> None:
    built = build(with_worker(env=[{"name": "MPM_POD_UID", "value": "forged"}]))
    (variable,) = [entry for entry in worker(built)["env"] if entry["name"] == "MPM_POD_UID"]
    assert set(variable) == {"name", "valueFrom"}
    assert len(built.conflicts) == 1


def test_the_selector_label_cannot_be_taken_away(build: Callable[..., Children]) -> None:
    labels = {"mpm-operator.io/webserver": "other", "team": "a"}
    built = build({"podTemplate": {"metadata": {"labels": labels}}})
    shown = built.deployment["spec"]["template"]["metadata"]["labels"]
    assert (shown["mpm-operator.io/webserver"], shown["team"]) == ("shop", "a")
    assert "spec.podTemplate.metadata.labels.mpm-operator.io/webserver" in built.conflicts[0]


names = st.sampled_from(["a", "b", "c"])
leaves = st.integers(0, 3) | names
trees = st.recursive(
    leaves,
    lambda inner: (
        st.dictionaries(st.sampled_from(["x", "y", "containers"]), inner, max_size=3)
        | st.lists(
            st.builds(lambda name, value: {"name": name, "value": value}, names, inner),
            max_size=3,
            unique_by=lambda entry: entry["name"],
        )
    ),
    max_leaves=12,
)
mappings = st.dictionaries(st.sampled_from(["x", "y", "containers"]), trees, max_size=3)


def covered(part: Any, whole: Any) -> bool:
    """Whether every value of `part` is in `whole`, named entries matched by name."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and covered(value, whole[key]) for key, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return all(any(covered(entry, other) for other in whole) for entry in part)
    return bool(part == whole)


@given(mappings, mappings, mappings)
def test_what_is_owned_is_always_there_in_the_end(defaults: Any, theirs: Any, ours: Any) -> None:
    assert covered(ours, merged(defaults, theirs, ours))


@given(mappings, mappings)
def test_their_template_is_all_there_unless_a_conflict_is_named(theirs: Any, ours: Any) -> None:
    assert conflicts(theirs, ours, "t") or covered(theirs, merged({}, theirs, ours))


@given(mappings, mappings, mappings)
def test_merging_changes_none_of_its_inputs(defaults: Any, theirs: Any, ours: Any) -> None:
    before = copy.deepcopy((defaults, theirs, ours))
    merged(defaults, theirs, ours)
    assert (defaults, theirs, ours) == before


def test_a_name_that_is_no_text_is_left_to_the_api_server() -> None:
    assert conflicts([{"name": ["a"]}, {"name": {}}], [{"name": "a", "image": "i"}], "containers") == []
