"""An application that starts processes; how is in the path."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    word = environ["PATH_INFO"].strip("/")
    answer = os.getpid()
    if word == "return":
        answer = os.fork()  # both go on and answer
    elif word == "exit":
        answer = os.fork()
        if not answer:
            sys.exit(3)
    elif word in ("stay", "break"):
        answer = _job()
    elif word == "terminate":
        answer = _terminated()
    elif word == "interrupt":
        answer = _interrupted()
    elif word == "again":
        answer = _forked_again()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return _broken() if word == "break" else [f"{answer}\n".encode()]


def _job() -> int:
    """A process that goes on in the background."""
    pid = os.fork()
    if not pid:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # whoever reads the log shall see its end
        time.sleep(600)
        os._exit(0)
    return pid


def _terminated() -> int:
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    process.start()
    process.terminate()
    process.join(60)
    return process.exitcode or 0


def _forked_again() -> int:
    """How many files, opened by a fork in place of all it inherited, lead elsewhere in a fork of its own."""
    reading, writing = os.pipe()
    if not os.fork():
        os.dup2(writing, 500)
        os.closerange(3, 500)
        with tempfile.TemporaryFile() as file:
            files = [os.dup(file.fileno()) for _ in range(100)]
            if not os.fork():
                inode = os.fstat(file.fileno()).st_ino
                os.write(500, b"%d" % sum(os.fstat(each).st_ino != inode for each in files))
                os._exit(0)
            os.wait()
            os._exit(0)
    os.wait()
    os.close(writing)
    with os.fdopen(reading) as answer:
        return int(answer.read())


def _interrupted() -> int:
    with subprocess.Popen(["sleep", "600"]) as process:
        process.send_signal(signal.SIGINT)
        return process.wait(60)


def _broken() -> Iterator[bytes]:
    yield b"half"
    raise RuntimeError("the other half is missing")
