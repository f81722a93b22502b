"""A run as plain lines, one when something changed: for logs and pipes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .view import View


class Lines:
    """Display for a standard output that is no terminal."""

    wants_processes = False

    def __init__(self) -> None:
        self._last: tuple[object, ...] = ()

    def show(self, view: View) -> None:
        totals, decision = view.plan.totals, view.plan.decision
        state = (len(view.pods), view.ready, view.threads, view.plan.desired, decision.reason)
        if state == self._last:
            return
        self._last = state
        failures = "" if view.load is None else f" clients {view.load.clients} failed {view.load.failures}"
        self.say(
            f"{view.at:6.1f} s  pods {view.ready}/{view.plan.desired} threads {view.threads} "
            f"busy {totals.busy} idle {totals.idle} queue {totals.queue}{failures}  "
            f"{decision.reason}: {decision.message}"
        )

    def say(self, text: str) -> None:
        try:
            print(text, flush=True)
        except BrokenPipeError:  # nobody reads any more; the server goes on
            sys.stdout = sys.stderr

    def close(self) -> None:
        """Nothing to give back."""
