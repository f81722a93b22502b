"""What is done once, before the first server is started: folder, addresses, limits."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpm_worker.addresses import File, open_listeners
from mpm_worker.identity import owner
from mpm_worker.option import EVENT, OptionError

if TYPE_CHECKING:
    from mpm_worker.listeners import Listeners
    from mpm_worker.options import Options
    from mpm_worker.tls import Certificates


@dataclass(frozen=True, slots=True)
class Ports:
    """Where requests and where scoreboard, probes and control come in."""

    requests: Listeners
    admin: Listeners


def rows_of(options: Options) -> int:
    """Processes the scoreboard has room for; half of them may be wanted, so that each can be replaced."""
    return max(64, 4 * options.processes)


def start(options: Options) -> Ports:
    """Do it all, in the order that works.

    :raises OptionError: or ListenError, with what cannot be had
    """
    _raise_descriptor_limit()
    seats = rows_of(options) // 2 if options.mpm == EVENT else 1
    user, group = owner(options.socket_owner, "--socket-owner") if options.socket_owner else (-1, -1)
    requests = open_listeners(
        options.bind,
        "--bind",
        seats=seats,
        backlog=options.listen_backlog,
        tls=bool(options.tls_certificate),
        file=File(options.socket_mode, user, group),
    )
    if options.tls_certificate:
        requests.certificates = _certificates(options)
    admin = open_listeners((options.admin,), "--admin", seats=1, backlog=128)
    if options.chdir:
        _change_folder(options.chdir)
    return Ports(requests, admin)


def _certificates(options: Options) -> Certificates:
    from mpm_worker.tls import Certificates  # OpenSSL costs 4 MB, so only who speaks TLS loads it

    return Certificates(options.tls_certificate, options.tls_key, options.tls_min_version)


def _change_folder(path: str) -> None:
    try:
        os.chdir(path)
    except OSError as error:
        raise OptionError(f"--chdir {path}: {error.strerror}") from None


def _raise_descriptor_limit() -> None:
    """A connection is a descriptor; the soft limit is for programs that use select(2)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
