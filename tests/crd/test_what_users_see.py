"""Defaults, columns, explain and scale of the definition on the real API server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mpm_operator.core.directives import normalise
from mpm_operator.core.spec import WebServerSpec
from mpm_operator.manifests import effective_status

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

SHOP: dict[str, Any] = {
    "apiVersion": "mpm-operator.io/v1alpha1",
    "kind": "WebServer",
    "metadata": {"name": "shop"},
    "spec": {"app": {"module": "shop:app"}},
}


def status(spec: WebServerSpec) -> dict[str, Any]:
    effective, _ = normalise(spec)
    return {
        "observedGeneration": 1,
        "replicas": 3,
        "readyReplicas": 2,
        "desiredReplicas": 4,
        "selector": "mpm-operator.io/webserver=shop",
        "threadsPerChild": 25,
        "workers": {"busy": 41, "idle": 9, "total": 50, "queue": 7},
        "decision": {"reason": "QueueFormed", "message": "7 wait.", "time": "2026-01-01T00:00:00Z"},
        "effective": effective_status(effective),
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Serving",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
                "observedGeneration": 1,
            }
        ],
    }


@pytest.fixture
def shop(defined: Any, namespace: str) -> Callable[..., str]:
    """kubectl in a namespace with the WebServer shop and a status as the operator writes it."""

    def kubectl(*arguments: str) -> str:
        return str(defined.kubectl(*arguments, f"--namespace={namespace}"))

    defined.apply(SHOP, namespace=namespace)
    written = {"status": status(msgspec.convert(SHOP["spec"], WebServerSpec))}
    patch = f"--patch={json.dumps(written)}"
    kubectl("patch", "webs", "shop", "--subresource=status", "--type=merge", patch)
    return kubectl


def test_defaults_are_filled_in_and_are_those_of_the_types(shop: Callable[..., str]) -> None:
    stored = json.loads(shop("get", "webs", "shop", "--output=json"))["spec"]
    assert stored["mpm"]["listenBacklog"] == 511
    assert "threadsPerChild" not in stored["mpm"]
    assert msgspec.convert(stored, WebServerSpec) == msgspec.convert(SHOP["spec"], WebServerSpec)


@pytest.mark.parametrize(
    "mpm", [{"type": "Prefork", "minSpareServers": 5}, {"minSpareThreads": 30}], ids=["Prefork", "Event"]
)
def test_the_status_of_the_operator_is_kept_whole(shop: Callable[..., str], mpm: dict[str, Any]) -> None:
    written = status(msgspec.convert(SHOP["spec"] | {"mpm": mpm}, WebServerSpec))
    patch = f"--patch={json.dumps({'status': None})}"
    shop("patch", "webs", "shop", "--subresource=status", "--type=merge", patch)
    patch = f"--patch={json.dumps({'status': written})}"
    shop("patch", "webs", "shop", "--subresource=status", "--type=merge", patch)
    assert json.loads(shop("get", "webs", "shop", "--output=json"))["status"] == written


def test_the_list_shows_load_and_reason_in_columns(shop: Callable[..., str]) -> None:
    head, row = shop("get", "webs").splitlines()
    assert head.split() == [
        "NAME",
        "READY",
        "MPM",
        "PODS",
        "THREADS",
        "BUSY",
        "IDLE",
        "QUEUE",
        "REASON",
        "AGE",
    ]
    assert row.split()[:-1] == ["shop", "True", "Event", "2", "25", "41", "9", "7", "QueueFormed"]


def test_the_wide_list_shows_the_sentence(shop: Callable[..., str]) -> None:
    assert "7 wait." in shop("get", "webs", "--output=wide")


def test_the_category_lists_it(shop: Callable[..., str]) -> None:
    assert "webserver.mpm-operator.io/shop" in shop("get", "mpm", "--output=name")


def test_scale_sets_replicas_and_an_autoscaler_finds_the_pods(shop: Callable[..., str]) -> None:
    shop("scale", "webs/shop", "--replicas=5")
    assert shop("get", "webs", "shop", "--output=jsonpath={.spec.replicas}") == "5"
    scale = json.loads(shop("get", "webs", "shop", "--subresource=scale", "--output=json"))
    assert scale["status"] == {"replicas": 3, "selector": "mpm-operator.io/webserver=shop"}


def test_explain_speaks_httpds_language(shop: Callable[..., str]) -> None:
    said = " ".join(shop("explain", "webserver.spec.mpm").split())
    assert "MaxRequestWorkers: most slots over the whole WebServer at every moment" in said
