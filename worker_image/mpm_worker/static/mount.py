"""Which folder is served under which prefix."""

from __future__ import annotations

import os
from typing import NamedTuple


class Mount(NamedTuple):
    """`folder` is served under `prefix`, which begins with a slash and ends without one."""

    prefix: str
    folder: str


def read_mount(text: str, base: str = "") -> Mount:
    """`/prefix=DIR` as it is written in an option, DIR seen from `base`; raises ValueError."""
    prefix, equals, folder = text.partition("=")
    if not prefix.startswith("/") or not equals or not folder:
        raise ValueError(f"/PREFIX=DIR is expected, not {text!r}")
    parts = [part for part in prefix.split("/") if part]
    if any(part in (".", "..") for part in parts):
        raise ValueError(f"the prefix of {text!r} cannot be asked for: it has a part . or ..")
    folder = os.path.abspath(os.path.join(base, folder))
    if not os.path.isdir(folder):
        raise ValueError(f"{folder} is no folder")
    return Mount("".join(f"/{part}" for part in parts), folder)
