"""Plain lines for the person who runs the server."""

from __future__ import annotations

import os
import stat
import sys
import time


def say(message: str, colon: str = ":") -> None:
    """Print to standard error; a full disk or a reader that is gone must never end a server."""
    try:
        print(f"{stamp()}mpm-worker{colon} {message}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass


def stamp() -> str:
    """The time in front of a line, where standard error is a file.

    Who reads a pipe (journald, a container's log) notes the time itself.
    """
    try:
        alone = stat.S_ISREG(os.fstat(2).st_mode)
    except OSError:
        return ""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime()) if alone else ""


def flush() -> None:
    """Write out what standard output and error still hold, where that is possible."""
    for stream in (sys.stderr, sys.stdout):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # a full disk, a closed pipe, or no stream at all
