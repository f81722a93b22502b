"""A share of the time that something may take: so that who only watches never slows who works."""

from __future__ import annotations


class Budget:
    """At most `share` of the time in the long run (0 to 1), and `burst` seconds at once."""

    def __init__(self, share: float, burst: float, now: float) -> None:
        self._share, self._burst = share, burst
        self._left, self._at = burst, now

    def spend(self, seconds: float, now: float) -> None:
        """Count what was done; it may be more than there was, then the next one waits the longer."""
        self._left = self._now(now) - seconds
        self._at = now

    def wait(self, now: float) -> float:
        """Seconds until there is some to spend; 0: now."""
        return max(0.0, -self._now(now) / self._share)

    def _now(self, now: float) -> float:
        return min(self._burst, self._left + (now - self._at) * self._share)
