"""The pages made from the table of options: `--help` and docs/options.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpm_worker.option import mode, texts
from mpm_worker.option_table import TABLE

if TYPE_CHECKING:
    from mpm_worker.option import Option

_OTHERS = (
    ("--config FILE", "`MPM_CONFIG`", "Options from a TOML file"),
    (
        "--check-config",
        "",
        "Say what would keep the worker from starting, import the application, open no port",
    ),
    ("--version, --help", "", ""),
)


def usage() -> str:
    """The text of `--help`."""
    lines = [
        "mpm-worker [OPTIONS] MODULE:CALLABLE",
        "",
        "A prefork/threaded WSGI server with a scoreboard in the manner of Apache httpd.",
        "Each option is also MPM_NAME in the environment and a key of the TOML file of --config.",
        "The command line wins over the environment, that over the file, that over the default.",
        "",
    ]
    for option in TABLE:
        default = _default(option)
        lines.append(f"  --{option.name} {option.metavar}")
        lines.append(f"        {option.meaning}{f' [{default}]' if default else ''}")
    for name, _, meaning in _OTHERS:
        lines += [f"  {name}", *([f"        {meaning}"] if meaning else [])]
    return "\n".join([*lines, ""])


def markdown() -> str:
    """The table of the documentation."""
    lines = ["| option | environment | default | meaning |", "| --- | --- | --- | --- |"]
    for option in TABLE:
        metavar = option.metavar.replace("|", "\\|")
        default = f"`{_default(option)}`" if _default(option) else ""
        meaning = option.meaning.replace("|", "\\|")
        lines.append(f"| `--{option.name} {metavar}` | `{option.variable}` | {default} | {meaning} |")
    lines += [f"| `{name}` | {variable} | | {meaning} |" for name, variable, meaning in _OTHERS]
    return "\n".join(lines) + "\n"


def _default(option: Option) -> str:
    value = option.default
    if value is None or value in ("", ()):
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if option.read is mode:
        return f"{value:04o}"
    if option.read is texts:
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
