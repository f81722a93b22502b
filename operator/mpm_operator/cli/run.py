"""`mpm run FILE.yaml`: the WebServer of a file, on this machine.

Exit codes: 0 after a drain, 2 for a file or a port that cannot be used, 3 when the app cannot be started.
"""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import sys
from pathlib import Path

import click

from mpm_operator.local.document import BadDocument, load
from mpm_operator.local.lines import Lines
from mpm_operator.local.listener import PortTaken
from mpm_operator.local.run import AppFailed, Wish
from mpm_operator.local.run import run as serve
from mpm_operator.local.table import LiveTable

EXIT_BAD_INPUT = 2
EXIT_APP_FAILED = 3


def _address(_context: click.Context, _option: click.Parameter, value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError as error:
        raise click.BadParameter(f"`{value}` is no IP address; expected one such as 127.0.0.1.") from error


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    callback=_address,
    help="Address of this machine to serve on; 0.0.0.0 or :: means all of them.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port of requests; 0 takes a free one.",
)
@click.option(
    "--demo-load", is_flag=True, help="Add a load from this machine that steps up and down, and ends."
)
@click.option(
    "--dump",
    type=click.Path(path_type=Path),
    help="At the end, write the last decisions with their inputs, for `mpm explain --dump`.",
)
def run(file: Path, host: str, port: int, demo_load: bool, dump: Path | None) -> None:
    """Serve the WebServer in FILE until interrupted, with processes instead of pods.

    The app is imported from FILE's folder, or from the ConfigMap in FILE that `app.configMapRef` names.
    FILE is read again when it is edited.
    """
    try:
        document = load(file)
        wish = Wish(file, document, host, port, demo_load, dump)
        asyncio.run(_until_interrupted(wish))
    except (BadDocument, PortTaken) as error:
        _end(error, EXIT_BAD_INPUT)
    except AppFailed as error:
        _end(f"{file}: {error}", EXIT_APP_FAILED)


def _end(why: object, code: int) -> None:
    click.echo(f"mpm: {why}", err=True)
    sys.exit(code)


async def _until_interrupted(wish: Wish) -> None:
    stop, fast = asyncio.Event(), asyncio.Event()

    def interrupted() -> None:
        (fast if stop.is_set() else stop).set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, interrupted)
    display = LiveTable() if sys.stdout.isatty() else Lines()
    try:
        await serve(wish, display, stop, fast)
    finally:
        display.close()
