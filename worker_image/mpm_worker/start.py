"""What is done once, before the first server is started: folder, addresses, files, user."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpm_worker import systemd
from mpm_worker.accesslog import AccessLog
from mpm_worker.addresses import File, ListenError, check_addresses, open_listeners
from mpm_worker.identity import become, check_place, find, owner
from mpm_worker.option import EVENT, OptionError
from mpm_worker.options import DEFAULT_BIND
from mpm_worker.pidfile import PidFile
from mpm_worker.say import say
from mpm_worker.systemd import Notifier

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from mpm_worker.identity import Identity
    from mpm_worker.listeners import Listeners
    from mpm_worker.options import Options
    from mpm_worker.tls import Certificates


@dataclass(frozen=True, slots=True)
class Ports:
    """Where requests and where scoreboard, probes and control come in; who hears of our state."""

    requests: Listeners
    admin: Listeners
    notifier: Notifier
    pid_file: PidFile | None = None

    def clear_away(self) -> None:
        """What else would outlive the supervisor."""
        self.requests.unlink()
        if self.pid_file is not None:
            self.pid_file.remove()


_OTHERS = 32
"""Descriptors that a server and its supervisor need beside listeners, inboxes and connections."""


def rows_of(options: Options) -> int:
    """Processes the scoreboard has room for: each may be replaced, and some may take long to finish."""
    return max(64, 2 * options.server_limit)


def start(options: Options, environ: MutableMapping[str, str]) -> Ports:
    """Do it all, in the order that works: what only the first user may do comes before that is given up.

    :raises OptionError: or ListenError, with what cannot be had
    """
    _raise_descriptor_limit()
    _check_descriptors(options)
    _prepare(options)
    identity = find(options.user, options.group)
    notifier, sockets = Notifier(environ), systemd.given(environ)
    systemd.forget(environ)
    requests = _listen(options, identity, sockets.requests)
    try:
        if options.tls_certificate:
            requests.certificates = _certificates(options)
        own = () if sockets.admin else (options.admin,)
        admin = open_listeners(own, "--admin", seats=1, backlog=128, given=sockets.admin)
        ports = Ports(requests, admin, notifier, PidFile(options.pid_file) if options.pid_file else None)
    except (OptionError, ListenError):
        requests.unlink()
        raise
    try:
        if identity is not None:
            become(identity)
        _check_files(options, requests)
    except OptionError:
        ports.clear_away()
        raise
    return ports


def look_over(options: Options) -> None:
    """What can be found wrong before anything is opened.

    :raises OptionError: or ListenError, with that
    """
    _check_descriptors(options)
    _prepare(options)
    find(options.user, options.group)
    if options.socket_owner:
        owner(options.socket_owner, "--socket-owner")
    tls = bool(options.tls_certificate)
    if tls:
        _certificates(options)
    check_addresses(options.bind, "--bind", tls=tls)
    check_addresses((options.admin,), "--admin")
    if options.pid_file:
        check_place(options.pid_file, "--pid-file")


def _prepare(options: Options) -> None:
    if options.chdir:
        _change_folder(options.chdir)  # all other paths are meant from there
    if options.umask is not None:
        os.umask(options.umask)


def _listen(options: Options, identity: Identity | None, given: tuple[int, ...]) -> Listeners:
    user, group = (identity.user, identity.group) if identity is not None else (-1, -1)
    if options.socket_owner:
        user, group = owner(options.socket_owner, "--socket-owner")
    return open_listeners(
        options.bind or (() if given else (DEFAULT_BIND,)),
        "--bind",
        seats=options.server_limit if options.mpm == EVENT else 1,
        backlog=options.listen_backlog,
        tls=bool(options.tls_certificate),
        file=File(options.socket_mode, user, group),
        given=given,
    )


def _check_files(options: Options, requests: Listeners) -> None:
    """What the user we are now must be able to open."""
    if options.access_log:
        AccessLog.check(options.access_log)
    if requests.certificates is not None and not requests.certificates.readable():
        say("the certificate's files can't be read by this user: a new one is shown after a start only")


def _certificates(options: Options) -> Certificates:
    from mpm_worker.tls import Certificates  # OpenSSL costs 4 MB, so only who speaks TLS loads it

    return Certificates(
        options.tls_certificate, options.tls_key, options.tls_min_version, options.tls_client_ca
    )


def _change_folder(path: str) -> None:
    try:
        os.chdir(path)
    except OSError as error:
        raise OptionError(f"--chdir {path}: {error.strerror}") from None


def _check_descriptors(options: Options) -> None:
    """Event: every process holds the listeners and the inbox, a pair, of every seat there can be."""
    if options.mpm != EVENT:
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    addresses = options.bind or (DEFAULT_BIND,)
    each = 2 + sum(not address.startswith(("unix:", "fd://")) for address in addresses)
    needed = each * options.server_limit + _OTHERS
    if most != resource.RLIM_INFINITY and needed > most:
        fitting = max(1, (most - _OTHERS) // each)
        raise OptionError(
            f"--server-limit {options.server_limit} needs {needed} descriptors in each process,"
            f" {each} a server; {most} are allowed (ulimit -n), enough for --server-limit {fitting}"
        )


def _raise_descriptor_limit() -> None:
    """A connection is a descriptor; the soft limit is for programs that use select(2)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
