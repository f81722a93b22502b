"""When the service time is another: a slow backend shows in seconds, not in the mean of half a minute.

Requests are looked at in batches, for single ones say nothing: their times are exponential at best. Slot time
is counted when a request is complete, so one long request makes a whole batch long.
"""

from __future__ import annotations

from msgspec import Struct

BATCH = 20
"""Completions of a batch at least: their mean is about normal, unless the requests scatter heavily."""
JUMP_SIGMAS = 4.0
"""A batch so far from the mean is hardly chance; IN_A_ROW on the same side, and the mean begins anew."""
IN_A_ROW = 2
HEAVY_SCATTER = 4.5
"""From this many times the variance of an exponential on, rare long requests make batches what they are."""
IN_A_ROW_HEAVY = 3
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
    row: int = 0
    """How many of the last batches in a row lay far above the mean, or below it: then negative."""
    doubt: float = 0.0
    """What these would add to the scatter, if no change of the mean comes of them."""

    @property
    def whole(self) -> bool:
        """Whether this batch is complete: the next completions begin another."""
        return self.served >= BATCH


def gather(batch: Batch, usual: float, served: float, held: float, burnt: float) -> tuple[Batch, bool]:
    """Return the batch with more completions, and whether it shows that the service time is no more `usual`.

    usual: the mean so far, in seconds; 0 = not known.
    """
    begun = Batch(scatter=batch.scatter, row=batch.row, doubt=batch.doubt) if batch.whole else batch
    sums = (begun.served + served, begun.held + held, begun.burnt + burnt)
    now = Batch(*sums, begun.scatter, begun.row, begun.doubt)
    if not now.whole or usual <= 0:
        return now, False
    apart = now.held / now.served - usual
    exponential = usual * usual
    assumed = max(now.scatter, exponential)
    square = apart * apart * now.served
    if square <= JUMP_SIGMAS**2 * assumed:
        return Batch(*sums, _learn(now.scatter, now.doubt, square)), False
    side = 1 if apart > 0 else -1
    if now.row * side <= 0:
        # The ones before were no change, so they were scatter. Of this one nobody knows yet: a change of the
        # mean is no scatter, but to leave out what is far would never learn how heavy a tail is.
        return Batch(*sums, _learn(now.scatter, now.doubt), side, square), False
    row = now.row + side
    anew = abs(row) >= (IN_A_ROW_HEAVY if assumed > HEAVY_SCATTER * exponential else IN_A_ROW)
    return Batch(*sums, now.scatter, row, 0.0 if anew else now.doubt + square), anew


def _learn(scatter: float, *squares: float) -> float:
    """Return the scatter after the squares of some batches; 0 = none."""
    for square in squares:
        if square > 0:
            scatter += (square - scatter) / SCATTER_BATCHES
    return scatter
