"""The HPA and KEDA examples ask for metrics that a worker exposes, and their numbers fit together."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
import yaml
from consuming import answers, free_port, read, samples

from mpm_worker.options import load

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = Path(__file__).parents[2] / "examples"
SEEN = ({"": 7.0}, {"plain-a": 0.6, "plain-b": 0.1})


def documents(name: str) -> dict[str, Any]:
    found = yaml.safe_load_all((EXAMPLES / name).read_text())
    return {document["kind"]: document for document in found if document}


def test_their_metrics_exist(serve: Callable[..., Any]) -> None:
    worker = serve("event", "--threads", "10")
    own = {name.partition("{")[0] for name in samples(read(f"http://127.0.0.1:{worker.admin_port}/metrics"))}
    hpa = documents("hpa-demand.yaml")["HorizontalPodAutoscaler"]
    assert hpa["spec"]["metrics"][0]["pods"]["metric"]["name"] in own
    (trigger,) = documents("keda-demand.yaml")["ScaledObject"]["spec"]["triggers"]
    asked = set(re.findall(r"(\w+)\{", trigger["metadata"]["query"]))
    assert asked <= own
    assert asked == {"apache_workers", "mpm_queue_depth"}


def test_the_deployment_starts_and_has_time_to_drain(tmp_path: Path) -> None:
    pod = documents("hpa-demand.yaml")["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    options = load([option.replace("/srv/app", str(tmp_path)) for option in container["args"]], {})
    assert options.threads == 10
    assert pod["terminationGracePeriodSeconds"] > options.drain_delay + options.graceful_timeout


def test_the_examples_hold_what_they_say() -> None:
    """KEDA's cooldownPeriod is about the way to zero; between 2 and 20 the HPA's behaviour counts."""
    hpa = documents("hpa-demand.yaml")["HorizontalPodAutoscaler"]["spec"]
    keda = documents("keda-demand.yaml")["ScaledObject"]["spec"]
    assert keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == hpa["behavior"]
    assert "cooldownPeriod" not in keda
    assert (keda["minReplicaCount"], keda["maxReplicaCount"]) == (hpa["minReplicas"], hpa["maxReplicas"])
    assert keda["scaleTargetRef"]["name"] == hpa["scaleTargetRef"]["name"]


@pytest.mark.usefixtures("agents")
def test_prometheus_answers_their_queries(
    serve: Callable[..., Any], run: Callable[..., Any], tmp_path: Path
) -> None:
    """Seven of twenty slots are busy: KEDA reads 7 slots, the adapter a ratio for each pod."""
    pods = {name: serve("worker", "--processes", "1", "--threads", "10") for name in ("plain-a", "plain-b")}
    for worker, busy in zip(pods.values(), (6, 1), strict=True):
        worker.hold(busy)
    targets = [
        {
            "targets": [f"127.0.0.1:{worker.admin_port}"],
            "labels": {"namespace": "default", "pod": name},
        }
        for name, worker in pods.items()
    ]
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "pods", "static_configs": targets}],
    }
    file, port = tmp_path / "prometheus.json", free_port()
    file.write_text(json.dumps(config))
    storage = f"--storage.tsdb.path={tmp_path / 'data'}"
    listen = f"--web.listen-address=127.0.0.1:{port}"
    run("prometheus", f"--config.file={file}", storage, listen, "--log.level=error")

    def query(expression: str) -> dict[str, float]:
        address = f"http://127.0.0.1:{port}/api/v1/query?{urlencode({'query': expression})}"
        found = json.loads(answers(address))["data"]["result"]
        return {one["metric"].get("pod", ""): float(one["value"][1]) for one in found}

    (trigger,) = documents("keda-demand.yaml")["ScaledObject"]["spec"]["triggers"]
    (rule,) = yaml.safe_load(documents("hpa-demand.yaml")["ConfigMap"]["data"]["custom.yaml"])
    matchers = 'namespace="default",pod=~"plain-a|plain-b"'
    expression = rule["metricsQuery"].replace("<<.Series>>", "mpm_workers_demand_ratio")
    expression = expression.replace("<<.LabelMatchers>>", matchers).replace("<<.GroupBy>>", "pod")
    end = time.monotonic() + 60
    while (found := (query(trigger["metadata"]["query"]), query(expression))) != SEEN:
        assert time.monotonic() < end, found
        time.sleep(0.2)
    assert query(rule["seriesQuery"]).keys() == {"plain-a", "plain-b"}
    for worker in pods.values():
        worker.let_go()
