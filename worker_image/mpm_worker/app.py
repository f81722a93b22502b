"""The application: MODULE:CALLABLE made into something that can be called."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

    Application = Callable[..., Iterable[bytes]]


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
        missing = isinstance(error, ModuleNotFoundError) and name.startswith(error.name or "?")
        raise AppError(_told(error, trace=not missing)) from None


def load_app(name: str) -> Application:
    """Import MODULE:CALLABLE.

    :raises AppError: with what is wrong in the last line
    """
    module_name, _, path = name.partition(":")
    found: Any = import_module(module_name)
    try:
        for part in path.split("."):
            found = getattr(found, part)
    except BaseException as error:
        raise AppError(_told(error, trace=True)) from None
    if not callable(found):
        raise AppError(f"{name} is a {type(found).__name__}, not a WSGI callable")
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


def _told(error: BaseException, *, trace: bool) -> str:
    return f"{traceback.format_exc() if trace else ''}{type(error).__name__}: {error}"
