"""`mpm`: one verb a file. A verb is imported when it is used, so that `mpm --help` is quick."""

from __future__ import annotations

from importlib import import_module

import click

import mpm_worker

_VERBS = ("run", "simulate", "explain")


class _Verbs(click.Group):
    """The verb `x` is the click command `x` of the module `cli.x`."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in _VERBS:
            return None
        command: click.Command = getattr(import_module(f"mpm_operator.cli.{name}"), name)
        return command


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(mpm_worker.__version__, prog_name="mpm")
def main() -> None:
    """Apache httpd's Multi-Processing Modules, for a cluster and for one machine."""
