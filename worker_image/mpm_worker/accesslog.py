"""The access log of one process, written by a thread of its own.

A slot only appends to memory: a disk or pipe that does not move may cost lines, which are counted and said
in the log once it moves again, but never a slot. The thread gathers lines for a moment before it writes:
woken for each line it would fight the slots for the interpreter, at 13 µs of CPU a request.
"""

from __future__ import annotations

import os
import stat
import threading
from typing import Final

from mpm_worker.accessformat import COMMON, FORMATS, NOTHING_MORE, More
from mpm_worker.accessformat import lost as said_lost
from mpm_worker.identity import check_place
from mpm_worker.option import OptionError

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_MOST_WAITING: Final = 100_000
_GATHER: Final = 0.1
"""Seconds between the first line and the write."""


class AccessLog:
    """Appends to a file, so that all processes can share it. `-` is standard output."""

    def __init__(self, path: str, form: str = COMMON) -> None:
        self._file = 1 if path == "-" else _open(path)
        # Appended to and cut in front, each in one step of the interpreter, so nobody locks.
        self._lines: list[bytes] = []
        self._lost = 0
        self._form, self._line = form, FORMATS[form]
        self.wants_more = form != COMMON
        self._asleep = False
        self._stir, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="access-log", daemon=True)
        self._thread.start()

    @staticmethod
    def check(path: str, *, make: bool = True) -> None:
        """:param make: make the file where there is none; else only look whether that can be done

        :raises OptionError: it cannot be appended to
        """
        if path == "-":
            return
        try:
            if not _is_pipe(path):
                os.close(os.open(path, _FLAGS if make else _FLAGS & ~os.O_CREAT, 0o640))
            elif not os.access(path, os.R_OK | os.W_OK):  # opened and closed, it would end its reader
                raise OptionError(
                    f"--access-log {path}: a named pipe that this user must be allowed to read and write"
                )
        except FileNotFoundError as error:
            if make:
                raise OptionError(f"--access-log {path}: {error.strerror}") from None
            check_place(path, "--access-log")
        except OSError as error:
            raise OptionError(f"--access-log {path}: {error.strerror}") from None

    def add(self, peer: str, line: str, status: int, sent: int, more: More = NOTHING_MORE) -> None:
        """One request; `line` is the request line as it was received."""
        if len(self._lines) >= _MOST_WAITING:
            self._lost += 1
            return
        text = self._line(peer, line, status, sent, more)
        self._lines.append(text.encode("latin-1", "replace"))
        if self._asleep:
            self._asleep = False
            self._stir.set()

    def close(self, seconds: float = 2.0) -> None:
        """Write what waits, for at most so long."""
        self._end.set()
        self._stir.set()
        self._thread.join(seconds)

    def _write_on(self) -> None:
        while not self._end.is_set() or self._lines:
            self._asleep = True
            if not self._lines:  # else it came before it could see that nobody is awake
                self._stir.wait()
            self._asleep = False
            self._stir.clear()
            self._end.wait(_GATHER)
            self._write(self._lines[:_MOST_WAITING])

    def _write(self, lines: list[bytes]) -> None:
        del self._lines[: len(lines)]
        if self._lost:
            lost, self._lost = self._lost, 0
            lines.insert(0, said_lost(lost, self._form).encode())
        data = b"".join(lines)
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError:
            self._lost += len(lines)


def _open(path: str) -> int:
    """A named pipe to read, too: that waits for no reader, and lines stay there while one is started anew."""
    return os.open(path, os.O_RDWR | os.O_CLOEXEC if _is_pipe(path) else _FLAGS, 0o640)


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except FileNotFoundError:
        return False
