"""How mod_status shows a scoreboard to programs: `?auto`. Values in, text out; HTML is made in `status_page`.

Field names, order and number formats are those of httpd 2.4's modules/generators/mod_status.c.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mpm_worker.letters import fold

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mpm_worker.observe import Durations, Load, Resources, Totals

_REFRESH = re.compile(r"refresh(?:=\+?([0-9]{1,9}))?")
_REFRESH_SECONDS = 10
STATES = {
    "_": ("Waiting for Connection", "idle"),
    "S": ("Starting up", "startup"),
    "R": ("Reading Request", "read"),
    "W": ("Sending Reply", "reply"),
    "K": ("Keepalive (read)", "keepalive"),
    "D": ("DNS Lookup", "dns"),
    "C": ("Closing connection", "closing"),
    "L": ("Logging", "logging"),
    "G": ("Gracefully finishing", "graceful_stop"),
    "I": ("Idle cleanup of worker", "idle_cleanup"),
    ".": ("Open slot with no current process", "open_slot"),
}
"""Letter → mod_status's words, apache_exporter's label."""

BUSY = "RWKLDC"
"""Letters of slots that serve. As in mod_status without those that are going (G)."""


@dataclass(frozen=True, slots=True)
class SlotLine:
    """One row of the table: what a slot serves or served last."""

    server: str
    pid: int
    accesses: int
    letter: str
    seconds: float
    """Since the slot was last taken, by a request or a connection."""
    milliseconds: float
    """Duration of its last request."""
    busy_milliseconds: float
    """Time it was held, by all its requests together."""
    sent: int
    client: str
    request: str


@dataclass(frozen=True, slots=True)
class ServerLine:
    """One row of event's table: a process and its connections."""

    place: int
    pid: int
    stopping: bool
    connections: int
    accepting: bool
    letters: str
    reading: int
    keep_alive: int
    closing: int


@dataclass(frozen=True, slots=True)
class View:
    """All that a page shows."""

    version: str
    mpm: str
    name: str
    """The first line of `?auto`. No colon in it: readers take what stands before one for a field."""
    built: float
    now: float
    started: float
    uptime: float
    generation: int
    load_average: tuple[float, float, float]
    load: Load
    totals: Totals
    resources: Resources
    letters: str
    """Of all slots in the order of the scoreboard."""
    servers: int
    stopping: int
    unauthorized: int = 0
    ended: Mapping[str, int] = field(default_factory=dict)
    """Servers by the reason of their end."""
    durations: Durations | None = None
    slots: Sequence[SlotLine] = ()
    processes: Sequence[ServerLine] = ()
    """Of the event MPM, for its table."""
    via: str = ""
    """The address it serves."""

    @property
    def busy(self) -> int:
        """Counted from the letters, as the next two: who counts them again must find the same."""
        return sum(map(self.letters.count, BUSY))

    @property
    def graceful(self) -> int:
        return self.letters.count("G")

    @property
    def idle(self) -> int:
        return self.letters.count("_")


def plain(number: float) -> str:
    """APR's %g without the exponent: six significant digits, no leading zero (.0262535)."""
    if number == 0:
        return "0"
    digits = f"{number:.6g}"
    if "e" in digits:
        digits = f"{number:.12f}" if abs(number) < 1 else f"{number:.0f}"
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return digits[1:] if digits.startswith("0.") else (digits or "0")


def date(at: float) -> str:
    return time.strftime("%A, %d-%b-%Y %H:%M:%S %Z", time.localtime(at))


def duration(seconds: float) -> str:
    """2 days 4 hours 40 minutes 13 seconds; parts that are zero are left out."""
    left = int(seconds)
    parts = []
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " ".join(parts)


def built(view: View) -> str:
    return time.strftime("%b %d %Y %H:%M:%S", time.localtime(view.built))


def refresh(query: str) -> str | None:
    """The `Refresh` field that a query asks for, read as mod_status reads it: the first `refresh` counts,
    wherever it stands, with the digits that follow; without any, or with 0, it is ten seconds.
    """
    found = _REFRESH.search(query)
    return None if found is None else str(int(found[1] or 0) or _REFRESH_SECONDS)


def auto(view: View) -> str:
    """`?auto`: a field a line."""
    return "".join(
        f"{name}: {value}".rstrip() + "\n" if name else f"{value}\n" for name, value in _fields(view)
    )


def _fields(view: View) -> Iterator[tuple[str, Any]]:
    totals, cpu, uptime = view.totals, view.resources.cpu, int(view.uptime)
    yield "", view.name
    yield "ServerVersion", view.version
    yield "ServerMPM", view.mpm
    yield "Server Built", built(view)
    yield "CurrentTime", date(view.now)
    yield "RestartTime", date(view.started)
    yield "ParentServerConfigGeneration", view.generation + 1
    yield "ParentServerMPMGeneration", view.generation
    yield "ServerUptimeSeconds", uptime
    yield "ServerUptime", duration(uptime)
    for minutes, average in zip((1, 5, 15), view.load_average, strict=True):
        yield f"Load{minutes}", f"{average:.2f}"
    yield "Total Accesses", totals.accesses
    yield "Total kBytes", totals.sent >> 10
    yield "Total Duration", totals.busy_ms
    yield "CPUUser", plain(cpu.user)
    yield "CPUSystem", plain(cpu.system)
    yield "CPUChildrenUser", plain(cpu.children_user)
    yield "CPUChildrenSystem", plain(cpu.children_system)
    if cpu.total > 0 and uptime > 0:
        yield "CPULoad", plain(cpu.total / uptime * 100)
    yield "Uptime", uptime
    if uptime > 0:
        yield "ReqPerSec", plain(totals.accesses / uptime)
        yield "BytesPerSec", plain(totals.sent / uptime)
    if totals.accesses:
        yield "BytesPerReq", plain(totals.sent / totals.accesses)
        yield "DurationPerReq", plain(totals.busy_ms / totals.accesses)
    yield "BusyWorkers", view.busy
    yield "GracefulWorkers", view.graceful
    yield "IdleWorkers", view.idle
    if view.mpm == "event":
        load = view.load
        yield "Processes", view.servers
        yield "Stopping", view.stopping
        yield "ConnsTotal", load.connections
        yield "ConnsAsyncWaitIO", load.reading
        yield "ConnsAsyncWriting", 0  # a response is written by its slot
        yield "ConnsAsyncKeepAlive", load.keep_alive
        yield "ConnsAsyncClosing", load.closing
    letters, each = fold(view.letters)
    if each > 1:
        yield "SlotsPerLetter", each  # ours: without it nobody could tell how many there are
    yield "Scoreboard", letters
