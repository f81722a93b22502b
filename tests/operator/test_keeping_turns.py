"""What a turn leaves behind: a key that was fenced comes again, and a failed rollout is not tried anew."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import msgspec

from mpm_operator.core.spec import WebServerSpec
from mpm_operator.kube import metrics
from mpm_operator.kube.build import Builder, Wanted
from mpm_operator.kube.caches import Caches
from mpm_operator.kube.keys import MasterKeys
from mpm_operator.kube.observe import Observer
from mpm_operator.kube.operator import Operator
from mpm_operator.kube.options import Options
from mpm_operator.kube.resources import WEBSERVERS, Key
from mpm_operator.manifests import ControlKeys, Owner, control_key

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SHOP = Key("demo", "shop")
OWNER = Owner("shop", "demo", "uid-1")


class Keys(MasterKeys):
    """Keys that no Secret has to hold."""

    def __init__(self) -> None:
        pass

    def of(self, uid: str) -> ControlKeys:
        return ControlKeys(control_key(b"m" * 32, uid, 1))


class Stand:
    """A builder, and the Deployment as its controller would have it."""

    def __init__(self) -> None:
        caches = Caches()
        self.builder = Builder(caches, Observer(caches, lambda uid: None), Keys(), "worker:1", 600)
        self.running: dict[str, Any] | None = None

    def build(self, spec: dict[str, Any]) -> Wanted:
        parsed = msgspec.convert({"app": {"module": "shop:app"}} | spec, WebServerSpec)
        return self.builder.build(SHOP, OWNER, parsed, self.running, None)

    def apply(self, spec: dict[str, Any], status: str, reason: str) -> None:
        built = self.build(spec).children.deployment
        condition = {"type": "Progressing", "status": status, "reason": reason}
        self.running = built | {"status": {"conditions": [condition]}}

    def fail(self, spec: dict[str, Any]) -> None:
        """Leave the last good template in force, after `spec` never got ready."""
        self.apply({"image": "shop:1"}, "True", "NewReplicaSetAvailable")
        self.apply(spec, "False", "ProgressDeadlineExceeded")
        assert self.build(spec).rolled_back
        self.apply(spec, "True", "NewReplicaSetAvailable")


def test_a_failed_rollout_is_not_tried_again_for_what_an_autoscaler_writes() -> None:
    stand, bad = Stand(), {"image": "shop:2"}
    stand.fail(bad)
    for change in (
        {"replicas": 7},
        {"scaling": {"minReplicas": 3}},
        {"service": {"port": 81}},
        {"paused": True},
    ):
        assert stand.build(bad | change).rolled_back, change
    for change in ({"image": "shop:3"}, {"mpm": {"maxRequestWorkers": 50}}, {"extendedStatus": True}):
        assert not stand.build(bad | change).rolled_back, change


def test_what_is_rolled_back_is_built_once_as_long_as_nothing_changes() -> None:
    stand, bad = Stand(), {"image": "shop:2"}
    stand.fail(bad)
    assert stand.build(bad).children is stand.build(bad).children


async def test_a_key_that_was_fenced_comes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease is not held, so no write is sent: what a worker finds whose term ended under it."""
    file = tmp_path / "kubeconfig"
    named = [{"name": "a", "cluster": {"server": "http://127.0.0.1:9"}, "user": {}}]
    context = [{"name": "a", "context": {"cluster": "a", "user": "a"}}]
    file.write_text(
        json.dumps({"clusters": named, "users": named, "contexts": context, "current-context": "a"})
    )
    # The client takes its default from the environment when it is imported, which was before.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
    operator = Operator(Options("worker:1", "test", "demo"))
    meta = {"name": "shop", "namespace": "demo", "uid": "uid-1", "generation": 1, "resourceVersion": "1"}
    operator._caches[WEBSERVERS].put({"metadata": meta, "spec": {}})
    operator._queue.add(SHOP)
    operator._leading.set()
    fenced = metrics.RECONCILES.labels("fenced")
    before = fenced._value.get()
    work = asyncio.create_task(operator._work())
    try:
        for _ in range(400):
            if fenced._value.get() >= before + 2:
                break
            await asyncio.sleep(0.05)
        assert fenced._value.get() >= before + 2
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await operator._boards.close()
        operator._client.close()
