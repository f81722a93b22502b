"""Every option of the worker, once: the flag, the environment variable, the key of the config file, the docs.

A value is looked for in this order: command line, environment (`MPM_` and the option in capitals),
config file (TOML, keys are the long options without dashes in front), default.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mpm_worker.accessformat import COMBINED, COMMON, JSON
from mpm_worker.forwarded import AUTO, CUSTOM, STANDARD, Networks
from mpm_worker.option import (
    EVENT,
    PREFORK,
    WORKER,
    Bounds,
    Choice,
    Option,
    OptionError,
    mode,
    seconds,
    switch,
    text,
    texts,
    whole,
)
from mpm_worker.static.mount import read_mount

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mpm_worker.static.mount import Mount

__all__ = ["DEFAULT_BIND", "EVENT", "PREFORK", "TABLE", "WORKER", "OptionError", "Options", "load"]

DEFAULT_BIND = "0.0.0.0:8080"
_DAY = Bounds(0, 86400)
THREADS_MOST = 20000  # httpd's MAX_THREAD_LIMIT of worker (server/mpm/worker/worker.c)

TABLE: tuple[Option, ...] = (
    Option("app", text, "", "The WSGI application; the same as the positional argument", "MODULE:CALLABLE"),
    Option(
        "bind",
        texts,
        (),
        "Where requests are served: HOST:PORT (port 0 is a free one), unix:PATH, or fd://N, a listening "
        "socket handed down; may be given several times; left out: the sockets of systemd, or "
        f"{DEFAULT_BIND}",
        "ADDRESS",
    ),
    Option(
        "admin",
        text,
        "0.0.0.0:9090",
        "Where scoreboard, metrics, probes and control are served",
        "HOST:PORT",
    ),
    Option(
        "mpm",
        Choice((PREFORK, WORKER, EVENT)),
        EVENT,
        "The Multi-Processing Module",
        "prefork|worker|event",
    ),
    Option("processes", whole, None, "Server processes (default 1; prefork 8)", bounds=Bounds(1, 2000)),
    Option(
        "threads",
        whole,
        25,
        "Threads of a process (ThreadsPerChild); prefork has one",
        bounds=Bounds(1, THREADS_MOST),
    ),
    Option(
        "thread-limit",
        whole,
        64,
        "Most threads a process can ever have; sizes the shared memory",
        bounds=Bounds(1, THREADS_MOST),
    ),
    Option("listen-backlog", whole, 511, "Connections that may wait to be accepted", bounds=Bounds(1, 65535)),
    Option(
        "timeout",
        seconds,
        60.0,
        "Longest wait for a client to send or to take data",
        "S",
        Bounds(0.1, 86400),
    ),
    Option("keep-alive", switch, True, "Whether a connection may carry more than one request", "BOOL"),
    Option("keep-alive-timeout", seconds, 5.0, "How long an idle connection is kept", "S", _DAY),
    Option(
        "max-keep-alive-requests",
        whole,
        100,
        "Requests on one connection; 0 has no limit",
        bounds=Bounds(0, 1 << 31),
    ),
    Option(
        "max-connections-per-child",
        whole,
        0,
        "Connections after which a process is replaced (about; with jitter); 0 never",
        bounds=Bounds(0, 1 << 31),
    ),
    Option(
        "max-requests-per-child",
        whole,
        0,
        "Requests after which a process is replaced (about; with jitter); 0 never",
        bounds=Bounds(0, 1 << 31),
    ),
    Option(
        "max-rss",
        whole,
        None,
        "Resident memory at which a process is replaced; 0 never (default: the most grown one, when four "
        "fifths of the memory limit are in use)",
        "BYTES",
        Bounds(0, 1 << 50),
    ),
    Option(
        "request-timeout",
        seconds,
        0.0,
        "A request that runs longer has its stack logged and its process replaced; 0 never",
        "S",
        _DAY,
    ),
    Option("graceful-timeout", seconds, 60.0, "Longest drain after TERM; 0 stands for an hour", "S", _DAY),
    Option(
        "drain-delay",
        seconds,
        0.0,
        "How long new connections are still awaited after TERM",
        "S",
        Bounds(0, 3600),
    ),
    Option(
        "limit-request-body",
        whole,
        1 << 30,
        "Largest request body; 0 has no limit",
        "BYTES",
        Bounds(0, 1 << 50),
    ),
    Option(
        "request-buffering",
        switch,
        True,
        "Read chunked bodies, and in the event model long ones too, whole before the application runs",
        "BOOL",
    ),
    Option(
        "spool-threshold",
        whole,
        131072,
        "Bytes of a request body that is read whole beyond which it goes to a file",
        "BYTES",
        Bounds(0, 1 << 30),
    ),
    Option("spool-dir", text, "", "Folder of these files; left out: TMPDIR, else /tmp", "DIR"),
    Option(
        "static",
        texts,
        (),
        "Serve the files of a folder under a prefix without the application; may be given several times",
        "/PREFIX=DIR",
    ),
    Option(
        "async-request-worker-factor",
        seconds,
        2.0,
        "event: connections accepted beyond the threads, per idle thread",
        "X",
        Bounds(0.1, 10000),
    ),
    Option("access-log", text, "", "Where the access log goes; - is standard output", "PATH|-"),
    Option(
        "access-log-format",
        Choice((COMMON, COMBINED, JSON)),
        COMMON,
        "Lines of the access log; json has the request's time, its wait, slot and id too",
        "common|combined|json",
    ),
    Option(
        "extended-status", switch, False, "Show whole request lines and clients in /server-status", "BOOL"
    ),
    Option(
        "hostname-lookups",
        switch,
        False,
        "Look up the names of clients, for REMOTE_HOST and the log",
        "BOOL",
    ),
    Option("control-keys", text, "", "Folder with the control keys `current` and `previous`", "DIR"),
    Option("pod-uid", text, "", "The UID of the pod, part of every control signature", "UID"),
    Option("socket-mode", mode, 0o660, "Permissions of a Unix socket's file, in octal", "MODE"),
    Option(
        "socket-owner",
        text,
        "",
        "Owner of a Unix socket's file; left out: the user the worker runs as",
        "USER[:GROUP]",
    ),
    Option(
        "tls-certificate", text, "", "PEM file with the certificate and its chain: HTTPS is served", "FILE"
    ),
    Option("tls-key", text, "", "PEM file with the key; left out: it is in that of the certificate", "FILE"),
    Option("tls-min-version", Choice(("1.2", "1.3")), "1.2", "The oldest TLS spoken", "1.2|1.3"),
    Option(
        "trusted-proxies",
        texts,
        (),
        "Proxies that are believed when they name the client: networks; `unix`: who comes by a Unix socket",
        "CIDR",
    ),
    Option(
        "forwarded-header",
        Choice((AUTO, CUSTOM, STANDARD)),
        AUTO,
        "Fields trusted proxies write: X-Forwarded-For, -Proto, -Host, or Forwarded; auto: what there is",
        "auto|x-forwarded|forwarded",
    ),
    Option(
        "proxy-protocol",
        switch,
        False,
        "Expect a header of the PROXY protocol (v1 or v2) on every connection of a trusted proxy",
        "BOOL",
    ),
    Option("pid-file", text, "", "File to write the process number of the supervisor to", "FILE"),
    Option("user", text, "", "User to become once the addresses are bound; needs root", "NAME|UID"),
    Option("group", text, "", "Group to become; left out: the user's", "NAME|GID"),
    Option(
        "umask", mode, None, "Permissions that new files do not get, in octal; left out: as it is", "MASK"
    ),
    Option(
        "preload",
        switch,
        False,
        "Import the application once, in the supervisor: less memory and quicker replacements, but new code "
        "only by a new start",
        "BOOL",
    ),
    Option("hooks", text, "", "Module whose functions are called as servers come and go", "MODULE"),
    Option("chdir", text, "", "Folder to change to, and to import the application from", "DIR"),
)
_BY_NAME = {option.name: option for option in TABLE}


@dataclass(frozen=True, slots=True)
class Options:
    """The options as they hold at start. Times are seconds, sizes bytes."""

    app: str
    bind: tuple[str, ...]
    admin: str
    mpm: str
    processes: int
    threads: int
    thread_limit: int
    listen_backlog: int
    timeout: float
    keep_alive: bool
    keep_alive_timeout: float
    max_keep_alive_requests: int
    max_connections_per_child: int
    max_requests_per_child: int
    max_rss: int | None
    request_timeout: float
    graceful_timeout: float
    drain_delay: float
    limit_request_body: int
    request_buffering: bool
    spool_threshold: int
    spool_dir: str
    static: tuple[Mount, ...]
    async_request_worker_factor: float
    access_log: str
    access_log_format: str
    extended_status: bool
    hostname_lookups: bool
    control_keys: str
    pod_uid: str
    socket_mode: int
    socket_owner: str
    tls_certificate: str
    tls_key: str
    tls_min_version: str
    trusted_proxies: tuple[str, ...]
    forwarded_header: str
    proxy_protocol: bool
    pid_file: str
    user: str
    group: str
    umask: int | None
    preload: bool
    hooks: str
    chdir: str
    warnings: tuple[str, ...] = ()


def _unknown(kind: str, name: str, known: Sequence[str]) -> OptionError:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return OptionError(f"unknown {kind} {name}" + (f"; did you mean {near[0]}?" if near else ""))


def _from_arguments(arguments: Sequence[str]) -> dict[str, tuple[Any, str]]:
    """`--name value`, `--name=value`, one positional application. The last of a name wins; lists grow."""
    found: dict[str, tuple[Any, str]] = {}
    flags = [f"--{name}" for name in (*_BY_NAME, "config", "help", "version")]
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("-") or argument == "-":
            if "app" in found:
                raise OptionError(
                    f"a second application {argument!r} after {found['app'][0]!r}; one is served"
                )
            found["app"] = (argument, "MODULE:CALLABLE")
            continue
        flag, equals, value = argument.partition("=")
        if flag not in flags:
            raise _unknown("option", flag, flags)
        if not equals:
            try:
                value = next(rest)
            except StopIteration:
                raise OptionError(f"{flag}: its value is missing") from None
        name = flag[2:]
        option = _BY_NAME.get(name)
        if option is not None and option.read is texts and name in found:
            value = f"{found[name][0]},{value}"
        found[name] = (value, flag)
    return found


def _from_file(path: str) -> dict[str, tuple[Any, str]]:
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionError(f"--config {path}: {error}") from None
    for key in document:
        if key not in _BY_NAME:
            raise OptionError(f"--config {path}: {_unknown('key', key, list(_BY_NAME))}")
    return {key: (value, f"--config {path}, key {key}") for key, value in document.items()}


def load(arguments: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Read all sources.

    :raises OptionError: the first value that cannot be used
    """
    given = _from_arguments(arguments)
    config, _ = given.pop("config", (environ.get("MPM_CONFIG", ""), ""))
    from_file = _from_file(config) if config else {}
    for name, (value, where) in from_file.items():
        _BY_NAME[name].parse(value, where)  # a mistake is told although the value may not be used
    values: dict[str, Any] = {}
    for option in TABLE:
        if option.name in given:
            values[option.key] = option.parse(*given[option.name])
        elif option.variable in environ:
            values[option.key] = option.parse(environ[option.variable], option.variable)
        elif option.name in from_file:
            values[option.key] = option.parse(*from_file[option.name])
        else:
            values[option.key] = option.default
    return _settled(values)


def _settled(values: dict[str, Any]) -> Options:
    """What one option means for another; corrections are httpd's and are said, never silent."""
    warnings: list[str] = []
    module, _, name = values["app"].partition(":")
    if not module or not name:
        raise OptionError(
            f"the application is MODULE:CALLABLE, e.g. shop.wsgi:application, not {values['app']!r}"
        )
    if values["chdir"] and not os.path.isdir(values["chdir"]):
        raise OptionError(f"--chdir {values['chdir']}: no such folder")
    _check_entrance(values)
    if values["spool_dir"] and not os.path.isdir(values["spool_dir"]):
        raise OptionError(f"--spool-dir {values['spool_dir']}: no such folder")
    values["static"] = _mounts(values["static"], values["chdir"])
    prefork = values["mpm"] == PREFORK
    if values["processes"] is None:
        values["processes"] = 8 if prefork else 1
    if prefork:
        values["threads"] = values["thread_limit"] = 1
    if values["threads"] > values["thread_limit"]:
        warnings.append(
            f"ThreadsPerChild of {values['threads']} exceeds ThreadLimit of {values['thread_limit']} "
            f"threads, decreasing to {values['thread_limit']}. To increase, set --thread-limit."
        )
        values["threads"] = values["thread_limit"]
    return Options(**values, warnings=tuple(warnings))


def _check_entrance(values: dict[str, Any]) -> None:
    """What TLS and proxies need of each other."""
    try:
        Networks(values["trusted_proxies"])
    except ValueError as error:
        raise OptionError(f"--trusted-proxies: expected networks like 10.0.0.0/8, or unix: {error}") from None
    if values["tls_key"] and not values["tls_certificate"]:
        raise OptionError("--tls-key: its --tls-certificate is missing")
    if values["proxy_protocol"] and not values["trusted_proxies"]:
        raise OptionError("--proxy-protocol: nobody may send its header before --trusted-proxies says who")


def _mounts(texts: Sequence[str], folder: str) -> tuple[Mount, ...]:
    try:
        mounts = tuple(read_mount(each, folder) for each in texts)
    except ValueError as error:
        raise OptionError(f"--static: {error}") from None
    prefixes = [mount.prefix for mount in mounts]
    for prefix in prefixes:
        if prefixes.count(prefix) > 1:
            raise OptionError(f"--static: the prefix {prefix or '/'} is given twice; it has one folder")
    return mounts
