"""What the operator is told when it starts: by its command line, or else by its environment."""

from __future__ import annotations

import argparse
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mpm_operator import __version__
from mpm_operator.manifests import PROGRESS_DEADLINE_SECONDS

from .lease import LeaseTimes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class Options:
    """How the operator runs."""

    worker_image: str
    identity: str
    lease_namespace: str
    lease_name: str = "mpm-operator"
    lease: LeaseTimes = field(default_factory=LeaseTimes)
    namespaces: tuple[str, ...] = ()
    """Namespaces to watch; none = all."""
    health_port: int = 8081
    metrics_port: int = 8080
    address: str = ""
    """Where other operators reach the metrics port (HOST:PORT); "" = they cannot pass readers on."""
    progress_deadline_seconds: int = PROGRESS_DEADLINE_SECONDS
    status_token_file: Path | None = None
    """Holds the token with which agents read every WebServer's pages."""


def parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the parser; every option can be given as `MPM_OPERATOR_…` as well, the option wins."""

    def given(name: str, default: str) -> str:
        return environ.get(f"MPM_OPERATOR_{name}", default)

    made = argparse.ArgumentParser("mpm-operator", description="Scales WebServers by their scoreboards.")
    made.add_argument("--version", action="version", version=__version__)
    made.add_argument(
        "--namespace",
        action="append",
        metavar="NAME",
        help="watch this namespace only; may be repeated (MPM_OPERATOR_NAMESPACE: separated by commas)",
    )
    made.add_argument(
        "--worker-image",
        default=given("WORKER_IMAGE", ""),
        metavar="IMAGE",
        help="image of WebServers that name none; required",
    )
    made.add_argument(
        "--lease-namespace",
        default=given("LEASE_NAMESPACE", _own_namespace()),
        metavar="NAME",
        help="namespace of the lease and of the master key; the operator's own when left out",
    )
    made.add_argument("--lease-name", default=given("LEASE_NAME", "mpm-operator"), metavar="NAME")
    for name, seconds, text in (
        ("duration", 15.0, "a standby waits so long after the last renewal it saw"),
        ("renew", 10.0, "the holder stops writing so long after its last renewal"),
        ("retry", 2.0, "between two renewals"),
    ):
        made.add_argument(
            f"--lease-{name}-seconds",
            type=float,
            default=given(f"LEASE_{name.upper()}_SECONDS", str(seconds)),
            metavar="S",
            help=f"{text} (default {seconds:g})",
        )
    made.add_argument("--health-port", type=int, default=given("HEALTH_PORT", "8081"), metavar="PORT")
    made.add_argument("--metrics-port", type=int, default=given("METRICS_PORT", "8080"), metavar="PORT")
    made.add_argument(
        "--status-token-file",
        type=Path,
        default=given("STATUS_TOKEN_FILE", "") or None,
        metavar="FILE",
        help="token with which agents may read the server-status of every WebServer; none when left out",
    )
    made.add_argument(
        "--progress-deadline-seconds",
        type=int,
        default=given("PROGRESS_DEADLINE_SECONDS", str(PROGRESS_DEADLINE_SECONDS)),
        metavar="S",
        help="a rollout of a WebServer without progress for so long is taken back (default %(default)s)",
    )
    made.add_argument("--log-format", choices=("json", "text"), default=given("LOG_FORMAT", "json"))
    made.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default=given("LOG_LEVEL", "info")
    )
    return made


def options(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[Options, argparse.Namespace]:
    """Return the operator's options; a wrong one ends the process with status 2 and a sentence."""
    made = parser(environ)
    args = made.parse_args(argv)
    if not args.worker_image:
        made.error("--worker-image (MPM_OPERATOR_WORKER_IMAGE) must name the image of the worker")
    named = args.namespace or environ.get("MPM_OPERATOR_NAMESPACE", "").split(",")
    try:
        times = LeaseTimes(args.lease_duration_seconds, args.lease_renew_seconds, args.lease_retry_seconds)
    except ValueError as error:
        made.error(str(error))
    chosen = Options(
        worker_image=args.worker_image,
        # A new name each start: a restarted container must not believe that it still holds the lease.
        identity=f"{environ.get('POD_NAME') or socket.gethostname()}_{secrets.token_hex(4)}",
        lease_namespace=args.lease_namespace,
        lease_name=args.lease_name,
        lease=times,
        namespaces=tuple(dict.fromkeys(name.strip() for name in named if name.strip())),
        health_port=args.health_port,
        metrics_port=args.metrics_port,
        address=_address(environ.get("POD_IP", ""), args.metrics_port),
        progress_deadline_seconds=args.progress_deadline_seconds,
        status_token_file=args.status_token_file,
    )
    return chosen, args


def _address(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}" if ip else ""


def _own_namespace() -> str:
    try:
        return NAMESPACE_FILE.read_text().strip()
    except OSError:
        return "default"
