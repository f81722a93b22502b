"""What counts as drift of a child: our fields in the server's spelling, nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mpm_operator.kube.children import spelled

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def test_defaults_of_the_server_are_no_drift() -> None:
    wanted = {"spec": {"ports": [{"name": "http", "port": 80}]}}
    live = {"spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}], "type": "ClusterIP"}}
    assert spelled(wanted, live) == wanted


def test_a_changed_value_is_drift() -> None:
    assert spelled({"spec": {"port": 80}}, {"spec": {"port": 81}}) != {"spec": {"port": 80}}


def test_a_removed_value_is_drift() -> None:
    assert spelled({"labels": {"a": "b"}}, {"labels": {}}) != {"labels": {"a": "b"}}


def test_anothers_entry_in_a_named_list_is_no_drift() -> None:
    wanted = [{"name": "worker", "image": "i"}]
    live = [{"name": "sidecar", "image": "s"}, {"name": "worker", "image": "i", "tty": False}]
    assert spelled(wanted, live) == wanted


def test_a_missing_entry_of_a_named_list_is_drift() -> None:
    assert spelled([{"name": "worker", "image": "i"}], [{"name": "sidecar"}]) != [
        {"name": "worker", "image": "i"}
    ]


def test_a_deployment_that_is_not_paused_does_not_say_so() -> None:
    wanted = {"spec": {"paused": False}}
    assert spelled(wanted, {"spec": {}}) == wanted
    assert spelled(wanted, {"spec": {"paused": True}}) != wanted


def test_what_is_false_and_was_taken_out_is_drift() -> None:
    wanted = {"spec": {"automountServiceAccountToken": False}}
    assert spelled(wanted, {"spec": {}}) != wanted


def test_a_longer_plain_list_is_drift() -> None:
    assert spelled(["a"], ["a", "b"]) != ["a"]


def test_the_servers_spelling_is_shown() -> None:
    assert spelled({"limits": {"cpu": "1000m"}}, {"limits": {"cpu": "1", "memory": "1Gi"}}) == {
        "limits": {"cpu": "1"}
    }


@given(values)
def test_nothing_drifts_from_itself(value: object) -> None:
    assert spelled(value, value) == value


@given(st.dictionaries(st.text(max_size=3), values), st.dictionaries(st.text(max_size=3), values))
def test_what_others_add_never_matters(ours: dict[str, object], theirs: dict[str, object]) -> None:
    assert spelled(ours, theirs | ours) == ours


def test_a_name_that_is_no_text_is_compared_by_its_place() -> None:
    wanted = [{"name": ["a"]}, {"name": {"b": 1}}]
    assert spelled(wanted, wanted) == wanted
    assert spelled(wanted, [{"name": "a"}, {"name": "b"}]) != wanted
    assert spelled([{"name": "a", "x": 1}], [{"name": ["a"]}, {"name": "a", "x": 1}]) == [
        {"name": "a", "x": 1}
    ]
