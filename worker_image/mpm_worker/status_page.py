"""How mod_status shows a scoreboard to people: HTML. Values in, text out.

Everything is escaped, whoever chose it.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from mpm_worker.status import BUSY, STATES, built, date, duration, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mpm_worker.status import ServerLine, SlotLine, View

_WRAP = 64
_SLOT_HEADS = ("Srv", "PID", "Acc", "M", "SS", "Req", "Dur", "KiB", "Client", "Request")
_ASYNC_HEADS = (
    '<tr><th rowspan="2">Slot</th><th rowspan="2">PID</th><th rowspan="2">Stopping</th>'
    '<th colspan="2">Connections</th><th colspan="3">Threads</th>'
    '<th colspan="4">Async connections</th></tr>\n'
    "<tr><th>total</th><th>accepting</th><th>busy</th><th>graceful</th><th>idle</th>"
    "<th>wait-io</th><th>writing</th><th>keep-alive</th><th>closing</th></tr>\n"
)


def page(view: View, *, table: bool, more: str = "") -> str:
    """The HTML page.

    :param more: HTML after the scoreboard, in place of the table of slots
    """
    about = (f"Server Version: {view.version}", f"Server MPM: {view.mpm}", f"Server Built: {built(view)}")
    key = ",\n".join(f'"<b><code>{letter}</code></b>" {words}' for letter, (words, _) in STATES.items())
    name = html.escape(f"{view.name} (via {view.via})" if view.via else view.name)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f"<title>Server Status for {name}</title></head><body>\n<h1>Server Status for {name}</h1>\n"
        f"<dl>\n{_terms(about)}</dl><hr><dl>\n{_terms(_counters(view))}</dl>\n"
        + (_processes(view.processes) if view.processes else "")
        + f"<pre>{wrapped(view.letters)}</pre>\n<p>Scoreboard Key:<br>\n{key}</p>\n"
        + (more or (_slots(view.slots) if table else ""))
        + "</body></html>\n"
    )


def wrapped(letters: str) -> str:
    """A scoreboard as httpd prints it, 64 letters a line."""
    return "\n".join(letters[at : at + _WRAP] for at in range(0, len(letters), _WRAP))


def row(values: Iterable[object]) -> str:
    """A row of a table."""
    return f"<tr>{cells(values)}</tr>\n"


def cells(values: Iterable[object]) -> str:
    """Cells of a row."""
    return "".join(f"<td>{html.escape(str(value))}</td>" for value in values)


def traffic(amount: float) -> str:
    """Bytes, in a larger unit from half of one on; kilobytes from five on, as in mod_status."""
    for unit, size, least in (("GB", 1 << 30, 1 << 29), ("MB", 1 << 20, 1 << 19), ("kB", 1 << 10, 5 << 10)):
        if amount >= least:
            return f"{amount / size:.1f} {unit}"
    return f"{amount:.0f} B"


def _terms(lines: Iterable[str]) -> str:
    return "".join(f"<dt>{html.escape(line)}</dt>\n" for line in lines)


def _counters(view: View) -> Iterator[str]:
    totals, load, cpu = view.totals, view.load, view.resources.cpu
    yield f"Current Time: {date(view.now)}"
    yield f"Restart Time: {date(view.started)}"
    yield f"Parent Server Config. Generation: {view.generation + 1}"
    yield f"Parent Server MPM Generation: {view.generation}"
    yield f"Server uptime: {duration(view.uptime)}"
    if min(view.load_average) >= 0:
        yield f"Server load: {' '.join(f'{average:.2f}' for average in view.load_average)}"
    yield (
        f"Total accesses: {totals.accesses} - Total Traffic: {traffic(totals.sent)} - "
        f"Total Duration: {totals.busy_ms}"
    )
    yield (
        f"CPU Usage: u{plain(cpu.user)} s{plain(cpu.system)} cu{plain(cpu.children_user)} "
        f"cs{plain(cpu.children_system)}"
        + (f" - {plain(cpu.total / int(view.uptime) * 100)}% CPU load" if int(view.uptime) else "")
    )
    averages = " - ".join(_averages(view))
    if averages:
        yield averages
    yield (
        f"{view.busy} requests currently being processed, {view.graceful} workers gracefully restarting, "
        f"{view.idle} idle workers"
    )
    yield (
        f"{load.queue} requests waiting ({load.backlog.depth} of {load.backlog.limit} in the listen queue, "
        f"{load.backlog.overflows} lost)"
    )
    yield (
        f"{view.servers} servers, {view.stopping} stopping; {load.connections} connections, "
        f"{load.keep_alive} keep-alive, {load.closing} closing"
    )


def _averages(view: View) -> Iterator[str]:
    """Over no time, and of no request, there is none."""
    totals, uptime = view.totals, int(view.uptime)
    if uptime:
        yield f"{plain(totals.accesses / uptime)} requests/sec"
        yield f"{traffic(totals.sent / uptime)}/second"
    if totals.accesses:
        yield f"{traffic(totals.sent / totals.accesses)}/request"
        yield f"{plain(totals.busy_ms / totals.accesses)} ms/request"


def _processes(lines: Sequence[ServerLine]) -> str:
    """Event's own table: slots do not show where its connections are."""
    numbers = [
        (
            *(line.connections, sum(map(line.letters.count, BUSY)), line.letters.count("G")),
            *(line.letters.count("_"), line.reading, 0, line.keep_alive, line.closing),
        )
        for line in lines
    ]
    body = "".join(
        row((line.place, line.pid, _word(line.stopping), first, _word(line.accepting), *others))
        for line, (first, *others) in zip(lines, numbers, strict=True)
    )
    first, *others = map(sum, zip(*numbers, strict=True))
    body += row(("Sum", len(lines), sum(line.stopping for line in lines), first, "", *others))
    return f'<table rules="all" cellpadding="1%">\n{_ASYNC_HEADS}{body}</table>\n'


def _word(holds: bool) -> str:
    return "yes" if holds else "no"


def _slots(slots: Sequence[SlotLine]) -> str:
    rows = (
        row(
            (
                *(slot.server, slot.pid, slot.accesses, slot.letter, int(slot.seconds)),
                *(f"{slot.milliseconds:.0f}", f"{slot.busy_milliseconds:.0f}", f"{slot.sent / 1024:.1f}"),
                *(slot.client, slot.request),
            )
        )
        for slot in slots
        if slot.letter != "."
    )
    heads = "".join(f"<th>{head}</th>" for head in _SLOT_HEADS)
    return (
        f'<table border="0">\n<tr>{heads}</tr>\n{"".join(rows)}</table>\n'
        "<p>Srv: server and slot; Acc: requests of the slot; M: mode; SS: seconds since it was last taken; "
        "Req: milliseconds of the last request; Dur: of all of them; KiB: sent by the slot</p>\n"
    )
