"""What httpd's MPMs have compiled in: hard limits, defaults, and the AH numbers of what they say at startup.

Source: Apache httpd 2.4 server/mpm/{event,worker,prefork}; the numbers are those of the startup forms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_THREADS_PER_CHILD = 25
DEFAULT_THREAD_LIMIT = 64


class Compiled(Struct, frozen=True):
    """What differs between the MPMs. `…_hard` = the greatest value that the directive may have."""

    servers_hard: int
    threads_hard: int
    start_servers: int
    max_request_workers: int
    processes_per_pod: int
    min_spare: int
    max_spare: int
    server_limit_high: str
    server_limit_low: str
    thread_limit_high: str
    thread_limit_low: str
    threads_high: str
    threads_low: str
    workers_low: str
    workers_uneven: str
    workers_high: str
    start_low: str
    spare_low: str


COMPILED: Mapping[str, Compiled] = {
    "Event": Compiled(
        20_000, 100_000, 3, 400, 1, 75, 250,
        "AH00497", "AH00499", "AH00502", "AH00504", "AH00507", "AH00509",
        "AH00511", "AH00513", "AH00515", "AH00517", "AH00519",
    ),
    "Worker": Compiled(
        20_000, 20_000, 3, 400, 1, 75, 250,
        "AH00300", "AH00302", "AH00305", "AH00307", "AH00310", "AH00312",
        "AH00314", "AH00316", "AH00318", "AH00320", "AH00322",
    ),
    "Prefork": Compiled(
        200_000, 1, 5, 256, 8, 5, 10,
        "AH00175", "AH00177", "", "", "", "",
        "AH00182", "AH00182", "AH00180", "AH00184", "AH00186",
    ),
}  # fmt: skip
"""By the name of the MPM."""
