"""The operator has the rights that its code uses, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mpm_operator.kube import access, keys
from mpm_operator.kube.resources import CHILDREN, EVENTS, PODS, WATCHED, WEBSERVERS, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

Objects = list[dict[str, Any]]
Right = tuple[str, str, str]
"""API group, resource, verb."""


def rights(role: dict[str, Any]) -> set[Right]:
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def needed() -> set[Right]:
    """Watching lists; server-side apply creates or patches; a stranger of a child's name is looked at."""

    def of(kind: Kind, *verbs: str, resource: str = "") -> set[Right]:
        return {(kind.group, resource or kind.plural, verb) for verb in verbs}

    found: set[Right] = set()
    for kind in WATCHED:
        found |= of(kind, "list", "watch")
    for kind in CHILDREN:
        found |= of(kind, "get", "create", "patch")
    found |= of(WEBSERVERS, "patch", resource="webservers/status")
    found |= of(PODS, "patch", resource="pods/resize")
    return found | of(PODS, "patch") | of(EVENTS, "get", "create", "patch")


def roles(objects: Objects, kind: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (one["metadata"].get("namespace", ""), one["metadata"]["name"]): one
        for one in objects
        if one["kind"] == kind
    }


def test_the_cluster_role_is_what_the_code_uses(render: Callable[..., Objects]) -> None:
    role = roles(render(), "ClusterRole")["", "mpm-mpm-operator"]
    assert rights(role) == needed()


def test_named_namespaces_get_a_role_each_and_the_cluster_none(render: Callable[..., Objects]) -> None:
    objects = render({"watchNamespaces": ["shop", "market"]})
    found = roles(objects, "Role")
    for namespace in ("shop", "market"):
        assert rights(found[namespace, "mpm-mpm-operator"]) == needed()
    assert set(roles(objects, "ClusterRole")) == {
        ("", "mpm-mpm-operator-view"),
        ("", "mpm-mpm-operator-edit"),
        ("", "mpm-mpm-operator-reviews"),
    }
    assert set(roles(objects, "ClusterRoleBinding")) == {("", "mpm-mpm-operator-reviews")}


def test_it_may_ask_who_readers_are_unless_that_is_switched_off(render: Callable[..., Objects]) -> None:
    role = roles(render(), "ClusterRole")["", "mpm-mpm-operator-reviews"]
    assert rights(role) == {
        (access.TOKEN_REVIEWS.group, "tokenreviews", "create"),
        (access.ACCESS_REVIEWS.group, "subjectaccessreviews", "create"),
    }
    without = render({"serverStatus": {"reviewTokens": False}})
    assert ("", "mpm-mpm-operator-reviews") not in roles(without, "ClusterRole")


def test_its_own_lease_and_master_key_are_the_only_ones_it_may_read(render: Callable[..., Objects]) -> None:
    role = roles(render(), "Role")["mpm-system", "mpm-mpm-operator-self"]
    named = {
        (resource, name, verb)
        for rule in role["rules"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", ["*"])
        for verb in rule["verbs"]
    }
    assert named == {
        ("leases", "*", "create"),
        ("leases", "mpm-mpm-operator", "get"),
        ("leases", "mpm-mpm-operator", "update"),
        ("secrets", "*", "create"),
        ("secrets", keys.NAME, "get"),
    }


def test_every_role_is_bound_to_the_operators_account(render: Callable[..., Objects]) -> None:
    for values in ({}, {"watchNamespaces": ["shop"]}, {"serviceAccount": {"create": False, "name": "mine"}}):
        objects = render(values)
        name = values.get("serviceAccount", {}).get("name", "mpm-mpm-operator")
        account = {"kind": "ServiceAccount", "name": name, "namespace": "mpm-system"}
        bound = {
            (one["metadata"].get("namespace", ""), one["roleRef"]["name"])
            for kind in ("RoleBinding", "ClusterRoleBinding")
            for one in roles(objects, kind).values()
            if one["subjects"] == [account]
        }
        defined = {*roles(objects, "Role"), *roles(objects, "ClusterRole")}
        assert bound == {key for key in defined if not key[1].endswith(("-view", "-edit"))}


def test_no_right_is_given_by_a_star(render: Callable[..., Objects]) -> None:
    objects = render()
    for role in [*roles(objects, "Role").values(), *roles(objects, "ClusterRole").values()]:
        assert not any("*" in word for right in rights(role) for word in right)


def test_viewers_read_and_editors_write(render: Callable[..., Objects]) -> None:
    found = roles(render(), "ClusterRole")
    view, edit = (rights(found["", f"mpm-mpm-operator-{name}"]) for name in ("view", "edit"))
    assert {verb for _, _, verb in view} == {"get", "list", "watch"}
    assert ("mpm-operator.io", "webservers", "create") in edit
    assert ("mpm-operator.io", "webservers/scale", "patch") in edit
    assert not any(resource == "webservers/status" for _, resource, _ in edit)
