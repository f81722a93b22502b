"""The command `mpm-worker`."""

from __future__ import annotations

import os
import resource
import sys

from mpm_worker import __version__, options
from mpm_worker.listeners import ListenError
from mpm_worker.say import say
from mpm_worker.supervisor import EXIT_OPTIONS, Supervisor


def main() -> None:
    """Run the worker; ends the process with the exit code of the contract."""
    arguments = sys.argv[1:]
    if "--help" in arguments:
        print(options.usage(), end="")
        return
    if "--version" in arguments:
        print(f"mpm-worker {__version__}")
        return
    try:
        chosen = options.load(arguments, os.environ)
        _raise_descriptor_limit()
        if chosen.chdir:
            os.chdir(chosen.chdir)
        supervisor = Supervisor(chosen)
    except (options.OptionError, ListenError) as error:
        say(str(error))
        sys.exit(EXIT_OPTIONS)
    for warning in chosen.warnings:
        say(warning)
    supervisor.announce()
    sys.exit(supervisor.run())


def _raise_descriptor_limit() -> None:
    """A connection is a descriptor; the soft limit is for programs that use select(2)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
