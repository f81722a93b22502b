"""Functions that are called at moments in the life of the servers: what `--hooks MODULE` has of these names.

===========================  ===============  ==========================================================
``when_ready()``             the supervisor   once, when the first server serves
``pre_fork(seat)``           the supervisor   before each server is forked
``post_fork(seat)``          the new server   before it imports the application
``post_worker_init(seat)``   the new server   after that, before it accepts
``worker_exit(seat)``        the server       after its last request, when it ends of its own accord
===========================  ===============  ==========================================================

`seat` is the place of the server, from 0; a replacement has that of the one it replaces. The supervisor must
not be held up: its functions are to return at once, and may start neither threads nor servers.
"""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING

from mpm_worker.app import AppError, import_module
from mpm_worker.forked import end_one_that_came_back
from mpm_worker.say import say

if TYPE_CHECKING:
    from types import ModuleType

NAMES = ("when_ready", "pre_fork", "post_fork", "post_worker_init", "worker_exit")


class Hooks:
    """The functions of a module; without one, none.

    :raises AppError: it cannot be imported
    """

    def __init__(self, name: str = "") -> None:
        try:
            module: ModuleType | None = import_module(name) if name else None
        except AppError as error:
            raise AppError(f"--hooks {name}: {error}") from None
        self._functions = {each: getattr(module, each) for each in NAMES if hasattr(module, each)}
        if name and not self._functions:
            say(f"--hooks {name}: it has no function called {', '.join(NAMES[:-1])} or {NAMES[-1]}")

    def call(self, name: str, *arguments: int) -> None:
        """What it raises goes to the caller."""
        function = self._functions.get(name)
        if function is not None:
            function(*arguments)

    def attempt(self, name: str, *arguments: int) -> None:
        """What it raises is said, and no more."""
        caller = os.getpid()
        try:
            self.call(name, *arguments)
        except Exception:
            say(f"{name} of --hooks failed:\n{traceback.format_exc()}")
        finally:
            if os.getpid() != caller:  # it would be a second supervisor, or a second server
                end_one_that_came_back(f"{name} of --hooks")
