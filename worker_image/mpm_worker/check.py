"""`--check-config`: everything that can be known without opening a port."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from mpm_worker.app import AppError, load_app
from mpm_worker.option import OptionError
from mpm_worker.say import say
from mpm_worker.start import look_over

if TYPE_CHECKING:
    from mpm_worker.options import Options


def check(options: Options) -> None:
    """Look at the files and users that the options name, and import the application in a process of its own.

    :raises OptionError: the first thing that would keep the worker from starting
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # an import that hangs can be ended
    look_over(options)
    pid = os.fork()
    if pid == 0:
        _try_app(options.app)
    _, status = os.waitpid(pid, 0)
    if status:
        raise OptionError(f"the application {options.app} cannot be started")
    for warning in options.warnings:
        say(warning)
    say("the configuration is good")


def _try_app(name: str) -> None:
    code = 1
    try:
        load_app(name)
        code = 0
    except AppError as error:
        say(str(error))
    finally:
        os._exit(code)
