"""The pages made from the table of options: `--help` and docs/options.md."""

from __future__ import annotations

from typing import Any

from mpm_worker.options import TABLE


def usage() -> str:
    """The text of `--help`, made from the table."""
    lines = [
        "mpm-worker [OPTIONS] MODULE:CALLABLE",
        "",
        "A prefork/threaded WSGI server with a scoreboard in the manner of Apache httpd.",
        "Each option is also MPM_NAME in the environment and a key of the TOML file of --config.",
        "",
    ]
    for option in TABLE:
        default = "" if option.default in (None, "") else f" [{_shown(option.default)}]"
        lines.append(f"  --{option.name} {option.metavar}")
        lines.append(f"        {option.meaning}{default}")
    return "\n".join(
        [*lines, "  --config FILE", "        Options from a TOML file", "  --version, --help", ""]
    )


def markdown() -> str:
    """The table of the documentation."""
    lines = ["| option | environment | default | meaning |", "| --- | --- | --- | --- |"]
    for option in TABLE:
        metavar = option.metavar.replace("|", "\\|")
        default = "" if option.default in (None, "") else f"`{_shown(option.default)}`"
        lines.append(f"| `--{option.name} {metavar}` | `{option.variable}` | {default} | {option.meaning} |")
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
