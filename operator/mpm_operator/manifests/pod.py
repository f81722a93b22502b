"""The pod: what it is by default and what the operator owns in it (docs/contracts.md, section 3)."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mpm_operator.core.directives import Effective
    from mpm_operator.core.spec import WebServerSpec

    from .owner import Manifest, Owner

CONTAINER = "worker"
HTTP_PORT = 8080
ADMIN_PORT = 9090

CONFIG_DIR = "/etc/mpm"
CONTROL_DIR = "/etc/mpm-control"
APP_DIR = "/srv/app"

STANDARD_THREADS = 25
"""Threads a server that the default resources are made for."""


def defaults(owner: Owner, effective: Effective) -> Manifest:
    """What `spec.podTemplate` may change: resources, security, spread."""
    return {
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "topologySpreadConstraints": [
                {
                    "topologyKey": key,
                    "maxSkew": 1,
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": owner.selector},
                }
                for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
            ],
            "containers": [
                {
                    "name": CONTAINER,
                    "resources": resources(effective.processes_per_pod),
                    # Why it could not start is told in the WebServer's conditions.
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    # An application may take long to import; who has a slower one raises the threshold.
                    "startupProbe": _patience(period=1, failures=300),
                    "livenessProbe": _patience(period=10, failures=3),
                }
            ],
        },
    }


def resources(processes: int, threads: int = STANDARD_THREADS) -> Manifest:
    """Default resources of a pod with so many servers of so many threads.

    A memory limit, because the supervisor's memory guard needs one. No CPU limit: throttling would make slots
    slow where they only wait, and the request alone keeps the share. Pods start with the standard number of
    threads' worth, so that ThreadsPerChild can change without new pods; more is given to them in place.
    """
    share = max(1.0, threads / STANDARD_THREADS)
    memory = ceil(processes * share)
    return {
        "requests": {"cpu": f"{ceil(100 * share)}m", "memory": f"{64 + 32 * memory}Mi"},
        "limits": {"memory": f"{128 + 128 * memory}Mi"},
    }


def has_own_resources(spec: WebServerSpec) -> bool:
    """Return whether `spec.podTemplate` says itself what the pods get."""
    containers = spec.pod_template.spec.get("containers") or ()
    return any(
        isinstance(entry, dict) and entry.get("name") == CONTAINER and entry.get("resources")
        for entry in containers
    )


def owned(
    owner: Owner, spec: WebServerSpec, *, image: str, grace_seconds: int, arguments: Sequence[str]
) -> Manifest:
    """What the operator owns in the pod: nothing in `spec.podTemplate` changes it."""
    container = {
        "name": CONTAINER,
        "image": image,
        "command": [*_command(spec), *arguments],
        "env": [
            _from_field("MPM_POD_UID", "metadata.uid"),
            _from_field("MPM_POD_NAME", "metadata.name"),
            _from_field("MPM_POD_IP", "status.podIP"),
        ],
        "ports": [
            {"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"},
            {"name": "admin", "containerPort": ADMIN_PORT, "protocol": "TCP"},
        ],
        "startupProbe": _probe("/startupz"),
        # A quiesced pod has to leave the endpoints at once.
        "readinessProbe": _probe("/readyz") | _patience(period=1, failures=1),
        "livenessProbe": _probe("/healthz"),
        "volumeMounts": _mounts(spec),
    }
    return {
        "metadata": {"labels": owner.labels},
        "spec": {
            "terminationGracePeriodSeconds": grace_seconds,
            "containers": [container],
            "volumes": _volumes(owner, spec),
        },
    }


def _command(spec: WebServerSpec) -> list[str]:
    """The pod's own facts; everything that a user sets is in the file."""
    command = ["mpm-worker", "--config", f"{CONFIG_DIR}/mpm.toml"]
    command += ["--bind", f"0.0.0.0:{HTTP_PORT}", "--admin", f"0.0.0.0:{ADMIN_PORT}"]
    command += ["--control-keys", CONTROL_DIR]
    if spec.app.config_map_ref is not None:
        command += ["--chdir", APP_DIR]
    return command


def _volumes(owner: Owner, spec: WebServerSpec) -> list[Manifest]:
    volumes: list[Manifest] = [
        {"name": "mpm", "configMap": {"name": owner.config_map_name}},
        {"name": "mpm-control", "secret": {"secretName": owner.secret_name}},
        {"name": "mpm-tmp", "emptyDir": {}},
    ]
    if spec.app.config_map_ref is not None:
        volumes.append({"name": "mpm-app", "configMap": {"name": spec.app.config_map_ref.name}})
    return volumes


def _mounts(spec: WebServerSpec) -> list[Manifest]:
    mounts: list[Manifest] = [
        {"name": "mpm", "mountPath": CONFIG_DIR, "readOnly": True},
        {"name": "mpm-control", "mountPath": CONTROL_DIR, "readOnly": True},
        {"name": "mpm-tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own scratch volume
    ]
    if spec.app.config_map_ref is not None:
        mounts.append({"name": "mpm-app", "mountPath": APP_DIR, "readOnly": True})
    return mounts


def _from_field(name: str, path: str) -> Manifest:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def _probe(path: str) -> Manifest:
    return {"httpGet": {"path": path, "port": "admin", "scheme": "HTTP"}}


def _patience(*, period: int, failures: int) -> Manifest:
    """How often to ask, how many failures count. A refusal is an answer; only silence takes the timeout."""
    return {
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
        "successThreshold": 1,
    }
