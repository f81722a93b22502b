"""`mpm explain`: why the number of pods or threads is what it is, and how it came to be.

Exit codes: 0 with an answer, 1 when the operator cannot be asked or says no, 2 for bad input.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from mpm_operator.core.record import load
from mpm_operator.core.values import BadValue

if TYPE_CHECKING:
    from mpm_operator.core.record import Latest, Record

ANSWER_SECONDS = 15.0
SIMULATED_BEFORE = 366 * 86_400.0
"""No clock of a machine shows less since 1970; the seconds of a trace do."""


@click.command()
@click.argument("name", required=False)
@click.option("-n", "--namespace", default="default", show_default=True, help="Namespace of the WebServer.")
@click.option(
    "--server",
    envvar="MPM_OPERATOR",
    metavar="URL",
    default="http://127.0.0.1:8080",
    show_default=True,
    help="The operator's metrics port, e.g. behind `kubectl port-forward`.  [env: MPM_OPERATOR]",
)
@click.option(
    "--token",
    envvar="MPM_TOKEN",
    default="",
    help="Your own token, e.g. of `kubectl create token NAME`.  [env: MPM_TOKEN]",
)
@click.option(
    "--dump",
    "dump_file",
    type=click.Path(path_type=Path),
    help="Read a dump (of `mpm run`, `mpm simulate` or the operator) in place of asking.",
)
@click.option(
    "--last", type=click.IntRange(0, 1000), default=10, show_default=True, help="Decisions to show."
)
@click.option("--save", type=click.Path(path_type=Path), help="Keep what the operator answered as a dump.")
def explain(
    name: str | None,
    namespace: str,
    server: str,
    token: str,
    dump_file: Path | None,
    last: int,
    save: Path | None,
) -> None:
    """Say why WebServer NAME has as many pods and threads as it has.

    Whoever may `get` the WebServer may ask.
    """
    if dump_file is not None:
        records, latest = read_dump(dump_file)
    elif name is None:
        raise click.UsageError("expected the NAME of a WebServer, or --dump FILE.")
    else:
        text = _ask(f"{server.rstrip('/')}/apis/webservers/{namespace}/{name}/decisions", token)
        if save is not None:
            _save(save, text)
        records, latest = _loaded(text, server)
    shown = [key for key in latest if name is None or key in (name, f"{namespace}/{name}")]
    if not shown:
        _end(f"nothing was decided of {namespace}/{name}; there is: {', '.join(sorted(latest)) or 'nothing'}")
    for key in shown:
        mine = [record for record in records if record.name == key]
        click.echo(told(key, latest[key], mine[max(0, len(mine) - last) :]))


def _save(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(
            f"{file}: cannot be written: {error.strerror}; expected a path for a JSON file."
        ) from error


def told(name: str, latest: Latest, records: list[Record]) -> str:
    """Return the answer as text: the decision in force with its reasons, then those before it."""
    lines = [f"{name}: {latest.decision.reason}: {latest.decision.message}"]
    lines += [f"  - {sentence}" for sentence in latest.decision.chain]
    if records:
        lines.append("How it came to be:")
    for record in records:
        decision = record.plan.decision
        lines.append(f"  {_clock(record.at)}  {decision.reason}: {decision.message}")
    return "\n".join(lines)


def _clock(at: float) -> str:
    """Return the time of day, or how long the trace of `mpm simulate` had run (before it: its warm-up)."""
    if at >= SIMULATED_BEFORE:
        return datetime.fromtimestamp(at).strftime("%H:%M:%S")
    minutes, seconds = divmod(int(abs(at)), 60)
    return f"{'-' * (at < 0)}{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def read_dump(file: Path) -> tuple[list[Record], dict[str, Latest]]:
    """Return what is in a dump; ends with exit code 2 when it is none."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise click.UsageError(f"{file}: cannot be read: {why}; expected a dump of decisions.") from error
    return _loaded(text, str(file))


def _loaded(text: str, source: str) -> tuple[list[Record], dict[str, Latest]]:
    try:
        return load(text)
    except BadValue as error:
        raise click.UsageError(f"{source}: {error}") from error


def _ask(url: str, token: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f"--server: expected http://HOST:PORT, got `{url}`.")
    request = urllib.request.Request(url)  # noqa: S310  the scheme is checked
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
            text: str = answer.read().decode("utf-8")
            return text
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(2000).decode("utf-8", "replace").strip()
        _end(f"{error.code}: {said}")
    except OSError as error:
        why = getattr(error, "reason", error)
        why = getattr(why, "strerror", None) or why
        _end(f"{url}: {why}; is the operator's metrics port forwarded to there?")


def _end(why: str) -> NoReturn:
    click.echo(f"mpm: {why}", err=True)
    sys.exit(1)
