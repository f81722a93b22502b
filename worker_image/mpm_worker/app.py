"""The application: MODULE:CALLABLE made into something that can be called."""

from __future__ import annotations

import difflib
import functools
import gc
import importlib
import inspect
import os
import sys
import threading
import traceback
from types import CodeType, FunctionType, MethodType
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
    _check(name, found)
    return found  # type: ignore[no-any-return]


def _check(name: str, found: Any) -> None:
    """Tell mistakes that would else be a 500 for every request."""
    if not callable(found):
        raise AppError(f"{name} is of the type {type(found).__name__}, not a WSGI callable")
    own = _code(found)
    code = own or _code(type(found).__call__)
    if code is not None and code.co_flags & inspect.CO_COROUTINE:
        raise AppError(f"{name} is asynchronous (ASGI); a WSGI application is expected")
    if own is not None and own.co_argcount < 2 and not own.co_flags & inspect.CO_VARARGS:
        raise AppError(
            f"{name} takes fewer than two arguments, so it is no WSGI application; one that makes an"
            f" application is written {name}()"
        )


def _code(of: Any) -> CodeType | None:
    """Of functions only, and not by `isinstance`: a wrapper may show attributes and class of another."""
    return of.__code__ if type(of) in (FunctionType, MethodType) else None


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
