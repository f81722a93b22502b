"""Replicas that somebody else wrote into our Deployment are told of; our own are not."""

from __future__ import annotations

from typing import Any

import pytest

from mpm_operator.kube.replicas import Left


def deployment(replicas: int, uid: str = "uid-1") -> dict[str, Any]:
    return {"metadata": {"name": "shop", "uid": uid}, "spec": {"replicas": replicas}}


def test_a_number_that_no_turn_asked_for_is_somebodys() -> None:
    left = Left.of(deployment(5), 7)
    assert left is not None
    note = left.overwritten(deployment(2))
    assert note is not None
    assert (note.severity, note.reason) == ("Warning", "ReplicasOverwritten")
    assert "from 7 to 2" in note.message
    assert "kubectl scale webserver/shop" in note.message


@pytest.mark.parametrize(
    "now",
    [deployment(7), deployment(5), deployment(2, uid="uid-2"), None],
    ids=["written", "not written yet", "another Deployment", "none"],
)
def test_what_a_turn_asked_for_or_found_is_ours(now: dict[str, Any] | None) -> None:
    left = Left.of(deployment(5), 7)
    assert left is not None
    assert left.overwritten(now) is None
    assert Left.of(None, 7) is None
