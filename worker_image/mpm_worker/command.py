"""What the command `mpm-worker` does, once `__main__` holds the signals back."""

from __future__ import annotations

import os
import sys

from mpm_worker import __version__, compiled, option_pages, options
from mpm_worker.addresses import ListenError
from mpm_worker.check import check
from mpm_worker.say import say
from mpm_worker.start import start
from mpm_worker.supervisor import EXIT_OPTIONS, Supervisor


def run() -> None:
    """Run the worker; ends the process with the exit code of the contract."""
    arguments = sys.argv[1:]
    if "--help" in arguments or "-h" in arguments:
        print(option_pages.usage(), end="")
        return
    if "--version" in arguments:
        print(f"mpm-worker {__version__} ({compiled.kind()})")
        return
    checking = "--check-config" in arguments
    try:
        chosen = options.load([each for each in arguments if each != "--check-config"], os.environ)
        if checking:
            check(chosen)
            return
        ports = start(chosen, os.environ)
    except (options.OptionError, ListenError) as error:
        say(str(error))
        sys.exit(EXIT_OPTIONS)
    try:
        supervisor = Supervisor(chosen, ports)
    except OSError as error:
        ports.clear_away()
        reason = error.strerror or str(error)
        say(f"no memory for the scoreboard ({reason}): fewer --processes or a lower --thread-limit need less")
        sys.exit(EXIT_OPTIONS)
    for warning in chosen.warnings:
        say(warning)
    try:
        code = supervisor.run()
    finally:
        ports.clear_away()
    sys.exit(code)
