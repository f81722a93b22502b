"""The file that says which process the supervisor is."""

from __future__ import annotations

import os

from mpm_worker.option import OptionError


class PidFile:
    """Written when the addresses are ours; removed at the end unless somebody else has written it since."""

    def __init__(self, path: str) -> None:
        """:raises OptionError: it cannot be written"""
        self._path = os.path.abspath(path)
        part = f"{self._path}.{os.getpid()}"
        try:
            _forget(part)  # of a start that was killed: in a container the number is the same again
            # In one step, so that nobody reads half of it.
            with open(part, "x") as file:
                os.fchmod(file.fileno(), 0o644)  # whatever the mask: another user reads it at the end
                file.write(f"{os.getpid()}\n")
            os.replace(part, self._path)
        except OSError as error:
            _forget(part)
            raise OptionError(f"--pid-file {path}: {error.strerror}") from None

    def remove(self) -> None:
        try:
            with open(self._path) as file:
                ours = file.read() == f"{os.getpid()}\n"
        except OSError:
            return
        if ours:
            _forget(self._path)  # it stays in a folder that the user we became may not write


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
