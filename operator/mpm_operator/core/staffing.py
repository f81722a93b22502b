"""How many pods a load needs: Erlang's delay formula, as tables that are computed once.

Load is in erlangs: mean number of slots that requests would hold if none had to wait.
Sources: A. K. Erlang 1917; the large-system form is S. Halfin, W. Whitt, "Heavy-Traffic Limits for Queues
with Many Exponential Servers", Operations Research 29 (1981).
"""

from __future__ import annotations

from bisect import bisect_left
from functools import cache, lru_cache
from math import ceil, erf, exp, pi, sqrt

EXACT_SLOTS = 500
"""Up to here by Erlang's recursion, beyond by Halfin and Whitt, who are a slot off there and less above."""


def waiting_probability(slots: int, load: float) -> float:
    """Return Erlang C: the probability that an arrival has to wait for one of `slots`."""
    if slots < 1 or load >= slots:
        return 1.0
    if load <= 0:
        return 0.0
    blocking = 1.0
    for n in range(1, slots + 1):
        blocking = load * blocking / (n + load * blocking)
    return blocking / (1 - load / slots * (1 - blocking))


@cache
def _square_root_rule(percent: int) -> float:
    """Return beta of Halfin and Whitt for a waiting probability: slots = load + beta x sqrt(load)."""
    low, high = 0.0, 10.0
    for _ in range(60):
        beta = (low + high) / 2
        density = exp(-beta * beta / 2) / sqrt(2 * pi)
        distribution = (1 + erf(beta / sqrt(2))) / 2
        waiting = 1 / (1 + beta * distribution / density)
        low, high = (beta, high) if waiting > percent / 100 else (low, beta)
    return high


@lru_cache(maxsize=65536)
def greatest_load(slots: int, percent: int) -> float:
    """Return the most erlangs that `slots` carry while at most `percent` of the requests wait."""
    if slots > EXACT_SLOTS:
        beta = _square_root_rule(percent)
        root = (-beta + sqrt(beta * beta + 4 * slots)) / 2
        return root * root
    low, high = 0.0, float(slots)
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if waiting_probability(slots, middle) <= percent / 100 else (low, middle)
    return low


def slots_for(load: float, percent: int, most: int) -> int:
    """Return the least slots of one queue for `load` erlangs, `most` where more would be needed."""
    return bisect_left(range(1, most), load, key=lambda slots: greatest_load(slots, percent)) + 1


def pods_for(load: float, slots_per_pod: int, percent: int, *, pooled: bool) -> int:
    """Return the least pods for `load` erlangs, at least one.

    `pooled`: all pods take from one queue (a shared listener, a least-busy balancer); otherwise connections
    are dealt at random and every pod is a queue of its own, which needs more slots for the same wait.
    """
    if load <= 0:
        return 1
    if not pooled:
        return max(1, ceil(load / greatest_load(slots_per_pod, percent) - 1e-9))
    low, high = 1, max(1, ceil(load / slots_per_pod))
    while greatest_load(high * slots_per_pod, percent) < load:
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if greatest_load(middle * slots_per_pod, percent) < load:
            low = middle + 1
        else:
            high = middle
    return low
