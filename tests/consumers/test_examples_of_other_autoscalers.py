"""The HPA and KEDA examples ask for metrics that a worker exposes, and their numbers fit together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from consuming import read, samples

from mpm_worker.options import load

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = Path(__file__).parents[2] / "examples"


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
