"""Plain lines for the person who runs the server."""

from __future__ import annotations

import sys


def say(message: str, colon: str = ":") -> None:
    """Print to standard error; a full disk or a reader that is gone must never end a server."""
    try:
        print(f"mpm-worker{colon} {message}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass


def flush() -> None:
    """Write out what standard output and error still hold, where that is possible."""
    for stream in (sys.stderr, sys.stdout):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # a full disk, a closed pipe, or no stream at all
