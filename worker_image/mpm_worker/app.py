"""The application: MODULE:CALLABLE made into something that can be called."""

from __future__ import annotations

import difflib
import functools
import gc
import importlib
import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType, TracebackType

    Application = Callable[..., Iterable[bytes]]

_ON_THE_WAY: Final = (__file__, importlib.__file__, "<frozen importlib")
"""How the names of the files begin that an import passes through before it comes to the module."""


class AppError(Exception):
    """The application named on the command line, or its hooks, cannot be used."""


def import_module(name: str) -> ModuleType:
    """Import a module of the people who use us, from the current folder first.

    :raises AppError: with what is wrong in the last line
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except BaseException as error:
        if isinstance(error, ModuleNotFoundError) and name.startswith(error.name or "?"):
            raise AppError(f"ModuleNotFoundError: {error}; looked for in {os.getcwd()} first") from None
        raise AppError(_told(error)) from None


@functools.cache
def load_app(name: str) -> Application:
    """Import MODULE:CALLABLE, or call the factory of MODULE:FACTORY().

    Remembered: what the supervisor has preloaded is not made a second time in each server.

    :raises AppError: with what is wrong in the last line
    """
    module_name, _, path = name.partition(":")
    found: Any = import_module(module_name)
    for part in path.removesuffix("()").split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            near = difflib.get_close_matches(part, dir(found), n=1)
            raise AppError(f"{error}{f'; did you mean {near[0]}?' if near else ''}") from None
        except BaseException as error:
            raise AppError(_told(error)) from None
    if path.endswith("()"):
        try:
            found = found()
        except BaseException as error:
            raise AppError(_told(error)) from None
    if not callable(found):
        raise AppError(f"{name} is of the type {type(found).__name__}, not a WSGI callable")
    return found  # type: ignore[no-any-return]


def preload(name: str) -> None:
    """Import the application in the supervisor: its memory is shared by all servers forked later.

    :raises AppError: it cannot be imported, or cannot be forked then
    """
    load_app(name)
    others = [thread.name for thread in threading.enumerate() if thread is not threading.current_thread()]
    if others:
        raise AppError(
            f"--preload: its import starts threads ({', '.join(others)}), and a fork leaves threads behind;"
            " without --preload each server imports it for itself"
        )
    gc.collect()
    gc.freeze()  # a collection would write to every object, and so copy all that is shared


def _told(error: BaseException) -> str:
    """The traceback, from the first line that is not Python's or ours."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_ON_THE_WAY):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()
