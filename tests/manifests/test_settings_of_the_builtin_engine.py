from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec
import pytest

from mpm_operator.core.directives import normalise
from mpm_operator.core.spec import WebServerSpec
from mpm_operator.engines import engine
from mpm_worker import options

if TYPE_CHECKING:
    from pathlib import Path

SPEC = {
    "app": {"module": "shop.wsgi:application"},
    "mpm": {
        "type": "Worker",
        "processesPerPod": 2,
        "threadsPerChild": 7,
        "threadLimit": 9,
        "listenBacklog": 100,
        "maxConnectionsPerChild": 11,
        "maxRssBytes": 31,
        "requestTimeoutSeconds": 37,
        "gracefulShutdownTimeoutSeconds": 13,
        "asyncRequestWorkerFactor": 3,
    },
    "http": {
        "timeoutSeconds": 17,
        "keepAlive": False,
        "keepAliveTimeoutSeconds": 19,
        "maxKeepAliveRequests": 23,
        "limitRequestBodyBytes": 29,
    },
    "scaling": {"drainDelaySeconds": 3},
    "extendedStatus": True,
}


@pytest.fixture
def spec() -> WebServerSpec:
    return msgspec.convert(SPEC, WebServerSpec)


def test_the_worker_reads_back_what_was_written(spec: WebServerSpec, tmp_path: Path) -> None:
    effective, _ = normalise(spec)
    for name, content in engine(spec.engine).config(spec, effective).items():
        (tmp_path / name).write_text(content)
    read = dataclasses.asdict(options.load(["--config", str(tmp_path / "mpm.toml")], {}))
    written = {
        "app": "shop.wsgi:application",
        "mpm": "worker",
        "processes": 2,
        "threads": 7,
        "thread_limit": 9,
        "listen_backlog": 100,
        "timeout": 17,
        "keep_alive": False,
        "keep_alive_timeout": 19,
        "max_keep_alive_requests": 23,
        "max_connections_per_child": 11,
        "max_rss": 31,
        "request_timeout": 37,
        "server_limit": 32,
        "graceful_timeout": 13,
        "drain_delay": 3,
        "limit_request_body": 29,
        "async_request_worker_factor": 3,
        "extended_status": True,
    }
    assert {key: read[key] for key in written} == written
    assert read["warnings"] == ()


def test_every_live_setting_has_the_value_that_takes_effect(spec: WebServerSpec) -> None:
    effective, _ = normalise(spec)
    assert engine(spec.engine).settings(effective) == {
        "threadsPerChild": 7,
        "processes": 2,
        "timeoutSeconds": 17,
        "keepAlive": False,
        "keepAliveTimeoutSeconds": 19,
        "maxKeepAliveRequests": 23,
        "limitRequestBodyBytes": 29,
        "maxConnectionsPerChild": 11,
        "maxRssBytes": 31,
        "requestTimeoutSeconds": 37,
        "gracefulShutdownTimeoutSeconds": 13,
        "asyncRequestWorkerFactor": 3,
    }


@pytest.mark.parametrize("mpm", ["Prefork", "Worker", "Event"])
def test_each_mpm_is_called_as_the_worker_calls_it(mpm: str, tmp_path: Path) -> None:
    spec = msgspec.convert({"app": {"module": "a:b"}, "mpm": {"type": mpm}}, WebServerSpec)
    effective, _ = normalise(spec)
    (tmp_path / "mpm.toml").write_text(engine(spec.engine).config(spec, effective)["mpm.toml"])
    read = options.load(["--config", str(tmp_path / "mpm.toml")], {})
    assert (read.mpm, read.processes) == (mpm.lower(), effective.processes_per_pod)
    assert read.max_rss is None, "left out: the supervisor's own guard"
    assert read.warnings == ()


def test_a_pod_that_starts_again_stays_what_its_template_made_it(spec: WebServerSpec, tmp_path: Path) -> None:
    """Its command line wins over the file, which is of the newest spec already."""
    newer = msgspec.convert({"app": {"module": "shop:broken"}, "mpm": {"type": "Prefork"}}, WebServerSpec)
    (tmp_path / "mpm.toml").write_text(engine(newer.engine).config(newer, normalise(newer)[0])["mpm.toml"])
    arguments = engine(spec.engine).arguments(spec, normalise(spec)[0])
    read = options.load(["--config", str(tmp_path / "mpm.toml"), *arguments], {})
    assert (read.app, read.mpm, read.processes) == ("shop.wsgi:application", "worker", 2)
    assert (read.thread_limit, read.listen_backlog, read.extended_status) == (9, 100, True)


def test_pods_are_given_no_option_that_only_the_newest_worker_has(spec: WebServerSpec) -> None:
    """An option that a worker does not know ends it: ServerLimit is its own matter."""
    effective, _ = normalise(spec)
    given = engine(spec.engine)
    assert "server-limit" not in given.config(spec, effective)["mpm.toml"]
    assert not [one for one in given.arguments(spec, effective) if "server-limit" in one]
