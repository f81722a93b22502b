"""The application: MODULE:CALLABLE made into something that can be called."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Application = Callable[..., Iterable[bytes]]


class AppError(Exception):
    """The application named on the command line cannot be served."""


def load_app(name: str) -> Application:
    """Import MODULE:CALLABLE, from the current folder first.

    :raises AppError: with what is wrong in the last line
    """
    sys.path.insert(0, os.getcwd())
    module_name, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except BaseException as error:
        missing = isinstance(error, ModuleNotFoundError) and module_name.startswith(error.name or "?")
        trace = "" if missing else traceback.format_exc()
        raise AppError(f"{trace}{type(error).__name__}: {error}") from None
    if not callable(found):
        raise AppError(f"{name} is a {type(found).__name__}, not a WSGI callable")
    return found  # type: ignore[no-any-return]
