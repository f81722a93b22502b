"""An application that does what applications should not; which of it is in the path."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

kept: list[bytes] = []
gate = threading.Event()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    word, _, value = environ["PATH_INFO"].strip("/").partition("/")
    start = lambda: start_response("200 OK", [("Content-Type", "text/plain")])  # noqa: E731
    if word == "grow":
        kept.append(os.urandom(1 << 16) * (int(value) * 16))
    elif word == "hang":
        wait_for_what_never_comes()
    elif word == "forever":
        start()
        return chatter()
    elif word == "raise-late":
        start()
        return half_then_raise()
    elif word == "fork":
        return fork(start)
    elif word == "sleep":
        time.sleep(float(value))
    start()
    return [f"{os.getpid()}\n".encode()]


def wait_for_what_never_comes() -> None:
    gate.wait(600)


def chatter() -> Iterator[bytes]:
    while True:
        yield b"x" * 65536


def half_then_raise() -> Iterator[bytes]:
    yield b"half"
    raise RuntimeError("the other half is missing")


def fork(start: Callable[[], Any]) -> Iterable[bytes]:
    """The child returns into the server, as a careless application's does, and outlives its request."""
    if os.fork() == 0:
        time.sleep(1)
        os._exit(0)
    start()
    return [f"{os.getpid()}\n".encode()]
