"""Helm on the chart."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from testcluster import binaries

if TYPE_CHECKING:
    from collections.abc import Callable

CHART = Path(__file__).parents[2] / "charts" / "mpm-operator"

EVERYTHING: dict[str, Any] = {
    "metrics": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboard": {"enabled": True},
    },
    "serverStatus": {"tokenSecret": "agents"},
    "networkPolicy": {"enabled": True},
    "imagePullSecrets": [{"name": "pull"}],
    "serviceAccount": {"annotations": {"a": "b"}},
    "commonLabels": {"team": "web"},
    "podLabels": {"tier": "control"},
    "podAnnotations": {"c": "d"},
    "priorityClassName": "system-cluster-critical",
    "tolerations": [{"key": "control", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "extraArgs": ["--log-level=debug"],
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
    "watchNamespaces": ["shop", "market", "shop"],
}


@pytest.fixture(scope="session")
def chart() -> Path:
    """The folder of the chart."""
    return CHART


@pytest.fixture(scope="session")
def everything() -> dict[str, Any]:
    """Values that switch on every optional part."""
    return EVERYTHING


@pytest.fixture(scope="session")
def helm() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run helm; its exit code is the caller's business."""
    program = binaries.program("helm")
    if not program.exists():
        pytest.skip("helm is built by `make cluster-tools`")

    def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)

    return helm


@pytest.fixture(scope="session")
def render(helm: Any, tmp_path_factory: Any) -> Callable[..., list[dict[str, Any]]]:
    """The objects of the release `mpm` in the namespace `mpm-system`."""

    def render(values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        file = tmp_path_factory.mktemp("values") / "values.json"
        file.write_text(json.dumps(values or {}))
        made = helm("template", "mpm", CHART, "--namespace=mpm-system", "--values", file)
        assert made.returncode == 0, made.stderr
        return [document for document in yaml.safe_load_all(made.stdout) if document]

    return render
