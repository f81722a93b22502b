"""`--check-config`: everything that can be known without opening a port."""

from __future__ import annotations

import os
import signal
import traceback
from typing import TYPE_CHECKING

from mpm_worker.accesslog import AccessLog
from mpm_worker.app import AppError, load_app, preload
from mpm_worker.hooks import Hooks
from mpm_worker.identity import become, find
from mpm_worker.option import OptionError
from mpm_worker.say import flush, say
from mpm_worker.start import look_over

if TYPE_CHECKING:
    from mpm_worker.options import Options


def check(options: Options) -> None:
    """Look at the addresses, files and users that the options name, and import the application.

    That is done in a process of its own, as the user who would serve. No file is made.

    :raises OptionError: or ListenError, with the first thing that would keep the worker from starting
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # an import that hangs can be ended
    look_over(options)
    pid = os.fork()
    if pid == 0:
        _try_in_its_place(options)
    _, status = os.waitpid(pid, 0)
    for warning in options.warnings:
        say(warning)
    if status:
        raise OptionError("the worker would not start")
    say("the configuration is good")


def _try_in_its_place(options: Options) -> None:
    code = 1
    try:
        identity = find(options.user, options.group)
        if identity is not None:
            become(identity)
        if options.access_log:
            AccessLog.check(options.access_log, make=False)
        Hooks(options.hooks)
        (preload if options.preload else load_app)(options.app)
        code = 0
    except OptionError as error:
        say(str(error))
    except AppError as error:
        say(f"the application {options.app} cannot be started: {error}")
    except Exception:
        say(traceback.format_exc().rstrip())
    finally:
        flush()
        os._exit(code)
