"""The YAML file of a run, read again when it was edited: what `kubectl apply` is in a cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mpm_operator.core.directives import normalise
from mpm_operator.engines.builtin import BuiltinEngine

from .document import Document, load

if TYPE_CHECKING:
    from pathlib import Path

    from mpm_operator.core.directives import Correction, Effective

LEAST_PROCESS_LIMIT = 32
"""Servers that every pod can have: an Event supervisor holds a listener for each that may come."""

_Stamp = tuple[int, int, int]


class NeedsNewStart(Exception):
    """An edit that running pods cannot take; the text names what changed."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the file asks for."""

    document: Document
    effective: Effective
    corrections: tuple[Correction, ...]
    process_limit: int
    """Most servers that a pod of this run can ever have: its supervisor's ServerLimit, fixed at its start."""

    def rollout(self) -> dict[str, object]:
        """What would roll the pods in a cluster."""
        return {
            "metadata.name": self.document.name,
            "the ConfigMap of app.configMapRef": self.document.app_files,
            "serverLimit": self.process_limit,
            **BuiltinEngine().rollout(self.document.spec, self.effective),
        }


def given(document: Document) -> Given:
    """Check and correct the directives of `document`."""
    effective, corrections = normalise(document.spec)
    process_limit = max(LEAST_PROCESS_LIMIT, 2 * effective.processes_per_pod)
    return Given(document, effective, tuple(corrections), process_limit)


def _as_made(edited: Given, now: Given) -> Given:
    """What the file asks for, with the limit of the pods that run if that will do."""
    if edited.effective.processes_per_pod > now.process_limit:
        return edited
    return replace(edited, process_limit=now.process_limit)


class Edits:
    """Watches one file. Polled, not by inotify: editors replace the file, and each second is soon enough."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen = self._stamp()

    def next(self, now: Given) -> Given | None:
        """What the file asks for if that was edited since the last call, else None.

        Raises BadDocument when it cannot be read as a WebServer, NeedsNewStart when pods that run (`now`)
        cannot take it; each once an edit.
        """
        stamp = self._stamp()
        if stamp == self._seen:
            return None
        self._seen = stamp
        edited = _as_made(given(load(self._file)), now)
        before, after = now.rollout(), edited.rollout()
        if names := [name for name in before if before[name] != after[name]]:
            raise NeedsNewStart(f"{self._file}: {', '.join(names)} changed")
        return edited

    def _stamp(self) -> _Stamp | None:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
