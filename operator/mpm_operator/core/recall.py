"""Load that comes back while pods quiesce: they serve again by what is seen at this moment.

The mean that new pods are asked for by follows in seconds. A pod that has quiesced is back for nothing, so
it need not wait for that, where the moment is no chance and more than the pods that stay hold with all the
threads they may have. What threads can hold waits for the mean: a short spike would undo every shrink.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from msgspec.structs import replace

from .explain import plural
from .law import burst_slots
from .staffing import pods_for

if TYPE_CHECKING:
    from .effective import Effective
    from .estimator import Load
    from .law import Need
    from .survey import Survey

SIGMAS = 5.0
"""So many standard deviations of a Poisson load above its mean are no chance."""


def recall(
    need: Need, effective: Effective, load: Load, seen: Survey, inside: int, have: int, pooled: bool
) -> Need:
    """Return the need with what asks for victims to serve again; it never asks for a new pod.

    inside: requests in service or waiting at this moment, on all pods; have: pods that accept or will.
    """
    offered = load.offered
    if not seen.victims or inside <= offered + SIGMAS * sqrt(max(offered, 1.0)):
        return need
    burst = burst_slots(effective, load, seen, have)
    pods = pods_for(float(inside), burst, effective.wait_probability_percent, pooled=pooled)
    pods = min(pods, have + len(seen.victims))
    if pods <= max(need.want, have):
        return need
    why = f"{plural(pods, 'pod')} for {inside} requests at this moment, where {offered:.1f} are usual"
    # The window remembers it: else they would quiesce again until the mean has followed.
    return replace(need, want=pods, keep=max(need.keep, pods), reason="LoadRose", why=why)
