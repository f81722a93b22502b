"""The application of these tests: what it does is in the path."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


_turns = {"turn": 0}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    word, _, value = environ["PATH_INFO"].strip("/").partition("/")
    body = b"hello\n"
    if word == "sleep":
        time.sleep(float(value))
    elif word == "spin":
        end = time.thread_time() + float(value)
        while time.thread_time() < end:
            pass
    elif word == "pid":
        body = f"{os.getpid()} {threading.current_thread() is threading.main_thread()}\n".encode()
    elif word == "die":
        os._exit(1)
    elif word == "size":
        body = b"x" * int(value)
    elif word == "until":
        wait_for(f"/{value}")
    elif word == "turn":
        # Quick so many times that anyone would take it for quick, then once not.
        turn, _, gate = value.partition("/")
        _turns["turn"] += 1
        if _turns["turn"] == int(turn):
            wait_for(f"/{gate}")
    elif word == "fork":
        if os.fork() == 0:
            time.sleep(0.5)
            os._exit(0)
    elif word == "read":
        body = f"{len(environ['wsgi.input'].read())}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def wait_for(file: str) -> None:
    while not os.path.exists(file):
        time.sleep(0.01)
