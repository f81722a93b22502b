"""The master key is rotated while control calls go on: every call arrives, with one key or the other."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

MASTER = "mpm-operator-control"
NEW = f"2:{'ab' * 32}"


def test_no_call_is_refused_for_good_while_the_key_is_rotated(shop: Stage) -> None:
    seconds = iter(range(20, 200))

    def change_arrives() -> None:
        wanted = next(seconds)
        shop.patch({"spec": {"http": {"timeoutSeconds": wanted}}})
        shop.until(
            lambda: all(board["settings"]["timeoutSeconds"] == wanted for board in shop.boards()),
            60,
            f"timeoutSeconds {wanted} on the scoreboard, with the keys {versions()}",
        )

    def versions() -> list[int]:
        return [board["keyVersion"] for board in shop.boards()]

    pods = {pod["metadata"]["uid"] for pod in shop.pods()}
    change_arrives()
    assert versions() == [1]
    old = b64decode(shop.need("secret", MASTER)["data"]["current"]).decode()
    files = {"current": NEW, "previous": old}
    data = {name: b64encode(text.encode()).decode() for name, text in files.items()}
    shop.kubectl("patch", "secret", MASTER, "--type=merge", f"--patch={json.dumps({'data': data})}")
    # An operator that starts reads it at once; one that runs looks each minute.
    shop.operators[0].end()
    shop.start_operator()
    change_arrives()
    assert versions() == [1], "the pod's volume is not there yet"
    for _ in range(3):
        change_arrives()
    # Something new about a pod lets the kubelet look at its volumes, else it takes its time.
    shop.kubectl("annotate", "pods", "--selector=mpm-operator.io/webserver=shop", "look=now")

    def rotated() -> bool:
        change_arrives()
        return versions() == [2]

    shop.until(rotated, 120, "the new key in the pod")
    shop.kubectl(
        "patch", "secret", MASTER, "--type=json", '--patch=[{"op":"remove","path":"/data/previous"}]'
    )
    shop.operators[1].end()
    shop.start_operator()
    change_arrives()
    secret = "shop-mpm-control"
    shop.until(lambda: shop.need("secret", secret)["data"].keys() == {"current"}, 60, "the old key to go")
    assert {pod["metadata"]["uid"] for pod in shop.pods()} == pods, "no pod was made anew for it"
    assert "401" not in "".join(operator.said() for operator in shop.operators)
