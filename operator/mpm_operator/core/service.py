"""When the service time is another: a slow backend shows in seconds, not in the mean of half a minute.

Requests are looked at in batches, for single ones say nothing: their times are exponential at best.
"""

from __future__ import annotations

from math import sqrt

from msgspec import Struct

BATCH = 20
"""Completions of a batch at least: their mean is about normal, whatever the distribution of a request."""
JUMP_SIGMAS = 4.0
"""A batch so far from the mean is no chance; two in a row on the same side, and the mean begins anew."""
SCATTER_BATCHES = 100
"""Batches over which the scatter of the requests is learned."""


class Batch(Struct, frozen=True):
    """Completions since the last batch, and what is known of batches."""

    served: float = 0.0
    held: float = 0.0
    """Slot seconds that they took."""
    burnt: float = 0.0
    """CPU seconds that they took."""
    scatter: float = 0.0
    """Variance of the slot time of a request, seconds squared; at least that of an exponential is assumed."""
    side: int = 0
    """1 or -1 when the last batch lay far above or below the mean."""

    @property
    def whole(self) -> bool:
        """Whether this batch is complete: the next completions begin another."""
        return self.served >= BATCH


def gather(batch: Batch, usual: float, served: float, held: float, burnt: float) -> tuple[Batch, bool]:
    """Return the batch with more completions, and whether it shows that the service time is no more `usual`.

    usual: the mean so far, in seconds; 0 = not known.
    """
    begun = Batch(scatter=batch.scatter, side=batch.side) if batch.whole else batch
    now = Batch(begun.served + served, begun.held + held, begun.burnt + burnt, begun.scatter, begun.side)
    if not now.whole or usual <= 0:
        return now, False
    apart = now.held / now.served - usual
    assumed = max(now.scatter, usual * usual)
    far = abs(apart) > JUMP_SIGMAS * sqrt(assumed / now.served)
    side = (1 if apart > 0 else -1) if far else 0
    # A change of the mean is no scatter: what lies beyond the bound counts as if it lay there.
    square = min(apart * apart * now.served, JUMP_SIGMAS**2 * assumed)
    scatter = now.scatter + (square - now.scatter) / SCATTER_BATCHES
    return Batch(now.served, now.held, now.burnt, scatter, side), far and side == batch.side
