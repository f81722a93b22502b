"""The options as they hold at start, read from all sources.

A value is looked for in this order: command line, environment (`MPM_` and the option in capitals),
config file (TOML, keys are the long options without dashes in front), default.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mpm_worker.elsewhere import ELSEWHERE, WITHOUT
from mpm_worker.forwarded import Networks
from mpm_worker.option import EVENT, PREFORK, WORKER, OptionError, texts
from mpm_worker.option_table import DEFAULT_BIND, TABLE
from mpm_worker.static.mount import read_mount

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mpm_worker.static.mount import Mount

__all__ = ["DEFAULT_BIND", "EVENT", "PREFORK", "TABLE", "WORKER", "OptionError", "Options", "load"]

_SERVER_LIMIT = 32
"""Unless more are started: event holds a listener for each, and a page of 64 KiB tells of twice as many."""

_BY_NAME = {option.name: option for option in TABLE}


@dataclass(frozen=True, slots=True)
class Options:
    """The options as they hold at start. Times are seconds, sizes bytes."""

    app: str
    bind: tuple[str, ...]
    admin: str
    mpm: str
    processes: int
    server_limit: int
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
    static_max_age: int | None
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
    tls_client_ca: str
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
    bare = name.lstrip("-")
    if bare in ELSEWHERE:
        here = f"{'--' if name != bare else ''}{ELSEWHERE[bare]}"
        return OptionError(f"unknown {kind} {name}; here it is {here}")
    if bare in WITHOUT:
        return OptionError(f"unknown {kind} {name}; it is not needed: {WITHOUT[bare]}")
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
        with open(path, encoding="utf-8") as file:
            text = file.read()
        document = tomllib.loads(text)
    except OSError as error:
        raise OptionError(f"--config {path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionError(f"--config {path}: {error}") from None
    found: dict[str, tuple[Any, str]] = {}
    for key, value in document.items():
        place = f"--config {path}, line {_line_of(key, text)}"
        if isinstance(value, dict):
            raise OptionError(f"{place}: expected NAME = VALUE without sections, not [{key}]")
        if key not in _BY_NAME:
            raise OptionError(f"{place}: {_unknown('key', key, list(_BY_NAME))}")
        found[key] = (value, f"{place}, key {key}")
    return found


def _line_of(key: str, text: str) -> int:
    """Where a key of the top is set; the parser of Python does not tell."""
    here = re.compile(rf"""\s*(?:\[+\s*)?["']?{re.escape(key)}["']?\s*[=.\]]""")
    return next((number for number, line in enumerate(text.splitlines(), 1) if here.match(line)), 1)


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
    return _settled(values, _mistyped(environ))


def _mistyped(environ: Mapping[str, str]) -> list[str]:
    """Variables that are nearly an option's. Others may begin with MPM_ too: Kubernetes makes some."""
    known = [*(option.variable for option in TABLE), "MPM_CONFIG"]
    found = []
    for name in sorted(environ.keys() - set(known)):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.9) if name.startswith("MPM_") else []
        if near:
            found.append(f"{name} in the environment is no option; did you mean {near[0]}?")
    return found


def _settled(values: dict[str, Any], warnings: list[str]) -> Options:
    """What one option means for another; corrections are httpd's and are said, never silent."""
    _check_app(values["app"])
    if values["chdir"] and not os.path.isdir(values["chdir"]):
        raise OptionError(f"--chdir {values['chdir']}: no such folder")
    _check_entrance(values)
    if values["spool_dir"] and not os.path.isdir(os.path.join(values["chdir"], values["spool_dir"])):
        raise OptionError(f"--spool-dir {values['spool_dir']}: no such folder")
    values["static"] = _mounts(values["static"], values["chdir"])
    prefork = values["mpm"] == PREFORK
    if values["processes"] is None:
        values["processes"] = min(8 if prefork else 1, values["server_limit"] or 8)
    if values["server_limit"] is None:
        values["server_limit"] = max(_SERVER_LIMIT, 2 * values["processes"])
    if values["processes"] > values["server_limit"]:
        warnings.append(
            f"{values['processes']} processes exceed ServerLimit of {values['server_limit']} servers, "
            f"decreasing to {values['server_limit']}. To increase, set --server-limit."
        )
        values["processes"] = values["server_limit"]
    if prefork:
        values["threads"] = values["thread_limit"] = 1
    if values["threads"] > values["thread_limit"]:
        warnings.append(
            f"ThreadsPerChild of {values['threads']} exceeds ThreadLimit of {values['thread_limit']} "
            f"threads, decreasing to {values['thread_limit']}. To increase, set --thread-limit."
        )
        values["threads"] = values["thread_limit"]
    return Options(**values, warnings=tuple(warnings))


def _check_app(text: str) -> None:
    module, _, name = text.partition(":")
    if not text:
        raise OptionError(
            "no application: expected MODULE:CALLABLE, e.g. shop.wsgi:application (--help lists the options)"
        )
    if "/" in module or module.endswith(".py"):
        dotted = module.removesuffix(".py").strip("./").replace("/", ".")
        raise OptionError(
            f"the application is MODULE:CALLABLE as Python imports it, perhaps {dotted}:{name or 'app'},"
            f" not {text!r}"
        )
    if not module or not name:
        raise OptionError(f"the application is MODULE:CALLABLE, e.g. shop.wsgi:application, not {text!r}")


def _check_entrance(values: dict[str, Any]) -> None:
    """What TLS and proxies need of each other."""
    try:
        Networks(values["trusted_proxies"])
    except ValueError as error:
        raise OptionError(f"--trusted-proxies: expected networks like 10.0.0.0/8, or unix: {error}") from None
    for name in ("tls-key", "tls-client-ca"):
        if values[name.replace("-", "_")] and not values["tls_certificate"]:
            raise OptionError(f"--{name}: its --tls-certificate is missing")
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
