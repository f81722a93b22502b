"""The Builtin engine: `mpm-worker`, configured by a TOML file whose keys are its long options."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpm_operator.core.effective import Effective
    from mpm_operator.core.spec import WebServerSpec

    from .protocol import Setting

CONFIG_FILE = "mpm.toml"
_FIXED = ("mpm", "processes", "thread-limit", "listen-backlog", "extended-status")


class BuiltinEngine:
    """Engine of the worker image of this project."""

    def config(self, spec: WebServerSpec, effective: Effective) -> dict[str, str]:
        """The file `mpm.toml`. Where a pod listens and where its keys are is the pod's own matter."""
        lines = [f"{key} = {_toml(value)}" for key, value in options(spec, effective).items()]
        return {CONFIG_FILE: "\n".join(lines) + "\n"}

    def settings(self, effective: Effective) -> dict[str, Setting]:
        """All of the scoreboard's `settings`; `threadsPerChild` is where the planner starts from."""
        return effective.settings

    def arguments(self, spec: WebServerSpec, effective: Effective) -> tuple[str, ...]:
        """The application, and the long options of a supervisor that control cannot change or resize."""
        chosen = options(spec, effective)
        return (*(f"--{name}={str(chosen[name]).lower()}" for name in _FIXED), spec.app.module)

    def rollout(self, spec: WebServerSpec, effective: Effective) -> dict[str, Any]:
        """What a supervisor fixes when it starts: its MPM, the shared memory, the listeners, the app."""
        return {
            "app": spec.app.module,
            "mpm": str(effective.mpm),
            "threadLimit": effective.thread_limit,
            "listenBacklog": effective.listen_backlog,
            "extendedStatus": spec.extended_status,
        }


def options(spec: WebServerSpec, effective: Effective) -> dict[str, str | int | bool]:
    """The worker's long options, without the dashes in front."""
    most = effective.max_rss_bytes
    guard: dict[str, str | int | bool] = {} if most < 0 else {"max-rss": most}
    return guard | {
        "app": spec.app.module,
        "mpm": str(effective.mpm).lower(),
        "processes": effective.processes_per_pod,
        "threads": effective.threads_per_child,
        "thread-limit": effective.thread_limit,
        "listen-backlog": effective.listen_backlog,
        "timeout": effective.timeout_seconds,
        "keep-alive": effective.keep_alive,
        "keep-alive-timeout": effective.keep_alive_timeout_seconds,
        "max-keep-alive-requests": effective.max_keep_alive_requests,
        "max-connections-per-child": effective.max_connections_per_child,
        "request-timeout": effective.request_timeout_seconds,
        "graceful-timeout": effective.graceful_shutdown_timeout_seconds,
        "drain-delay": effective.drain_delay_seconds,
        "limit-request-body": effective.limit_request_body_bytes,
        "async-request-worker-factor": effective.async_request_worker_factor,
        "extended-status": spec.extended_status,
    }


def _toml(value: str | int | bool) -> str:
    """A TOML value; for text, numbers and booleans JSON and TOML are written alike."""
    return json.dumps(value)
