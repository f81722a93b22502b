"""How mod_status shows a scoreboard: `?auto` and HTML. Values in, text out.

Field names, order and number formats are those of httpd 2.4's modules/generators/mod_status.c.
"""

from __future__ import annotations

import html
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mpm_worker.letters import fold

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mpm_worker.observe import Durations, Load, Resources, Totals

_WRAP = 64
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
    sent: int
    client: str
    request: str


@dataclass(frozen=True, slots=True)
class View:
    """All that a page shows."""

    version: str
    mpm: str
    name: str
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


def _date(at: float) -> str:
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


def _busy(view: View) -> int:
    return sum(map(view.letters.count, "RWKLDC"))  # as in mod_status: not those that are going


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
    yield "Server Built", time.strftime("%b %d %Y %H:%M:%S", time.localtime(view.built))
    yield "CurrentTime", _date(view.now)
    yield "RestartTime", _date(view.started)
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
    yield "BusyWorkers", _busy(view)
    yield "GracefulWorkers", view.letters.count("G")
    yield "IdleWorkers", view.load.idle
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


def page(view: View, *, table: bool, more: str = "") -> str:
    """The HTML page. Everything that a client chose is escaped.

    :param more: HTML after the scoreboard, in place of the table of slots
    """
    totals, load = view.totals, view.load
    uptime = max(1, int(view.uptime))
    lines = [
        f"Server Version: {view.version}",
        f"Server MPM: {view.mpm}",
        f"Server Built: {time.strftime('%b %d %Y %H:%M:%S', time.localtime(view.built))}",
        f"Current Time: {_date(view.now)}",
        f"Restart Time: {_date(view.started)}",
        f"Parent Server Config. Generation: {view.generation + 1}",
        f"Parent Server MPM Generation: {view.generation}",
        f"Server uptime: {duration(view.uptime)}",
        f"Server load: {' '.join(f'{average:.2f}' for average in view.load_average)}",
        f"Total accesses: {totals.accesses} - Total Traffic: {totals.sent >> 10} kB - "
        f"Total Duration: {totals.busy_ms}",
        f"CPU Usage: u{view.resources.cpu.user:.2f} s{view.resources.cpu.system:.2f} "
        f"cu{view.resources.cpu.children_user:.2f} cs{view.resources.cpu.children_system:.2f}",
        f"{plain(totals.accesses / uptime)} requests/sec - {totals.sent / uptime:.0f} B/second",
        f"{_busy(view)} requests currently being processed, {view.letters.count('G')} workers gracefully "
        f"restarting, {load.idle} idle workers",
        f"{load.queue} requests waiting ({load.backlog.depth} of {load.backlog.limit} in the listen queue, "
        f"{load.backlog.overflows} lost)",
        f"{view.servers} servers, {view.stopping} stopping; {load.connections} connections, "
        f"{load.keep_alive} keep-alive, {load.closing} closing",
    ]
    board = "\n".join(view.letters[at : at + _WRAP] for at in range(0, len(view.letters), _WRAP))
    key = ",\n".join(f'"<b><code>{letter}</code></b>" {words}' for letter, (words, _) in STATES.items())
    name = html.escape(view.name)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f"<title>Server Status of {name}</title></head><body>\n<h1>Server Status for {name}</h1>\n<dl>\n"
        + "".join(f"<dt>{html.escape(line)}</dt>\n" for line in lines)
        + f"</dl>\n<pre>{board}</pre>\n<p>Scoreboard Key:<br>\n{key}</p>\n"
        + (more or (_table(view.slots) if table else ""))
        + "</body></html>\n"
    )


def _table(slots: Sequence[SlotLine]) -> str:
    heads = ("Srv", "PID", "Acc", "M", "SS", "Req", "KiB", "Client", "Request")
    rows = [
        (
            *(
                slot.server,
                slot.pid,
                slot.accesses,
                slot.letter,
                int(slot.seconds),
                f"{slot.milliseconds:.0f}",
            ),
            *(f"{slot.sent / 1024:.1f}", slot.client, slot.request),
        )
        for slot in slots
        if slot.letter != "."
    ]
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>\n" for row in rows
    )
    head = "".join(f"<th>{head}</th>" for head in heads)
    return (
        f'<table border="0">\n<tr>{head}</tr>\n{body}</table>\n'
        "<p>Srv: server and slot; Acc: requests of the slot; M: mode; SS: seconds since it was last taken; "
        "Req: milliseconds of the last request; KiB: sent by the slot</p>\n"
    )
