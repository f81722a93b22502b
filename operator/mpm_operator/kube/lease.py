"""Which operator may write: a coordination Lease, held by compare-and-swap (decision 12).

The holder renews every `retry` seconds. It trusts its lease for `renew` seconds from the *start* of the last
renewal that succeeded; another process takes it only after it saw the record unchanged for `duration` seconds
of its own clock. renew < duration, both counted on monotonic clocks, so two never write at once, whatever the
wall clocks say. Times in the record are for people. kopf's peering is no lock: equal priorities stop all.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from . import metrics
from .client import APIError, Unreachable
from .resources import GROUP, LEASES

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import Client
    from .resources import Object

logger = logging.getLogger(__name__)

ADDRESS = f"{GROUP}/address"
"""Annotation of the Lease: where the holder listens for readers of its pages."""


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds of the election, named as client-go names them."""

    duration: float = 15.0
    """Others wait so long after the last renewal they saw."""
    renew: float = 10.0
    """The holder stops writing so long after its last renewal."""
    retry: float = 2.0
    """Between two tries."""

    def __post_init__(self) -> None:
        if not 0 < self.retry < self.renew < self.duration:
            raise ValueError(
                f"lease times must be 0 < retry ({self.retry:g} s) < renew ({self.renew:g} s) "
                f"< duration ({self.duration:g} s)"
            )


class _Sighting(NamedTuple):
    """A record of somebody else, and when it was first seen as it is."""

    version: str
    at: float


class Lease:
    """This process's claim on one Lease object."""

    def __init__(
        self,
        namespace: str,
        name: str,
        identity: str,
        times: LeaseTimes,
        clock: Callable[[], float] = time.monotonic,
        address: str = "",
    ) -> None:
        self._address = address
        self.others_address = ""
        """Where the holder listens (HOST:PORT), by its own word; "" when that is this process, or unknown."""
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._times = times
        self._clock = clock
        self._valid_until = float("-inf")
        self._record: Object | None = None
        self._seen: _Sighting | None = None
        self._announced = False
        self.term = 0
        """Counts how often the lease was taken by us after it had not been valid."""
        self.taken = asyncio.Event()
        """Set while held; a loop that writes waits for it."""

    def remaining(self) -> float:
        """Return for how many seconds more this process may write; ≤ 0: it may not."""
        return self._valid_until - self._clock()

    @property
    def held(self) -> bool:
        return self.remaining() > 0

    async def run(self, client: Client) -> None:
        """Try for ever to get and to keep the lease."""
        while True:
            try:
                await self._attempt(client)
            except (APIError, Unreachable) as error:
                logger.warning("The lease could not be renewed: %s", error)
                self._record = None
            self._announce()
            await asyncio.sleep(self._times.retry)

    async def release(self, client: Client) -> None:
        """Hand the lease back, after the last write, so that a standby need not wait for its end."""
        record, self._valid_until = self._record, float("-inf")
        self._announce()
        await client.drain()
        if record is None or record["spec"].get("holderIdentity") != self.identity:
            return
        spec = record["spec"] | {"holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            await client.replace(LEASES, record | {"spec": spec}, fenced=False)
        except (APIError, Unreachable) as error:
            logger.warning("The lease could not be released, a standby waits for its end: %s", error)

    async def _attempt(self, client: Client) -> None:
        started = self._clock()
        record = self._record or await client.get(LEASES, self._namespace, self._name)
        if record is None or self._free(record):
            claim = self._claim(record)
            try:
                kept = await (client.create if record is None else client.replace)(
                    LEASES, claim, fenced=False
                )
            except APIError as error:
                if error.status != 409:
                    raise
                # Somebody else wrote it: read it again next time; while ours is still valid it stays so,
                # because nobody can take it before its duration has passed without a renewal.
                self._record = None
                return
        else:
            self._record = None
            self.others_address = (record["metadata"].get("annotations") or {}).get(ADDRESS, "")
            return
        self._record = kept
        self.others_address = ""
        if started >= self._valid_until:
            self.term += 1
        self._valid_until = started + self._times.renew

    def _free(self, record: Object) -> bool:
        spec = record.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder in ("", self.identity):
            return True
        version = record["metadata"]["resourceVersion"]
        if self._seen is None or self._seen.version != version:
            self._seen = _Sighting(version, self._clock())
        # The holder's own word on the duration counts: it may run with other settings than ours.
        duration = float(spec.get("leaseDurationSeconds") or self._times.duration)
        return self._clock() - self._seen.at > duration

    def _claim(self, record: Object | None) -> Object:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = (record or {}).get("spec") or {}
        mine = old.get("holderIdentity") == self.identity
        transitions = int(old.get("leaseTransitions") or 0)
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": math.ceil(self._times.duration),
            "acquireTime": old.get("acquireTime") if mine else now,
            "renewTime": now,
            "leaseTransitions": transitions if mine or record is None else transitions + 1,
        }
        meta: Object = {"namespace": self._namespace, "name": self._name}
        if self._address:
            meta["annotations"] = {ADDRESS: self._address}
        if record is not None:
            meta["resourceVersion"] = record["metadata"]["resourceVersion"]
        return {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": meta, "spec": spec}

    def _announce(self) -> None:
        held = self.held
        metrics.LEASE_HELD.set(held)
        if held:
            self.taken.set()
        else:
            self.taken.clear()
        if held != self._announced:
            self._announced = held
            word = "Holding" if held else "Not holding"
            logger.info("%s the lease %s/%s as %s", word, self._namespace, self._name, self.identity)
