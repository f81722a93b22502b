"""What the admin port answers: pages, scoreboard, probes and control."""

from __future__ import annotations

import json
import os
import platform
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mpm_worker import __version__, procfs, status
from mpm_worker.admin import Answer
from mpm_worker.control import Call, Refused, verify
from mpm_worker.letters import code
from mpm_worker.metrics import metrics
from mpm_worker.observe import letters_of
from mpm_worker.scoreboard import LINE, TEXT, Server
from mpm_worker.settings import BadChange, number, parse_changes, parse_object
from mpm_worker.status_page import page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mpm_worker.brood import Process
    from mpm_worker.http import Request
    from mpm_worker.supervisor import Supervisor

SERVER = f"mpm-worker/{__version__} (Apache-compatible)"
_VERSION = f"mpm-worker/{__version__} (Unix) Python/{platform.python_version()}"
_BUILT = os.stat(__file__).st_mtime
_JSON = "application/json"
_LONGEST_QUIESCE = 3600


class Routes:
    """Reads and drives the supervisor on behalf of who asks."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def handle(self, request: Request, body: bytes) -> Answer:
        path = request.path
        if path == "/control" or path.startswith("/control/"):
            return self._control(request, body)
        pages: dict[str, Callable[[str], Answer]] = {
            "/server-status": self._status,
            "/scoreboard": self._scoreboard,
            "/metrics": self._metrics,
            "/healthz": lambda _: Answer(b"ok\n"),
            "/readyz": lambda _: self._probe(self._supervisor.phases.ready),
            "/startupz": lambda _: self._probe(self._supervisor.brood.ever_ready),
        }
        found = pages.get(path)
        if found is None:
            return Answer(b"Not found. See /server-status, /scoreboard, /metrics.\n", 404)
        if request.method not in ("GET", "HEAD"):
            return Answer(b"Only GET\n", 405, headers=(("Allow", "GET, HEAD"),))
        return found(request.query)

    def _probe(self, well: bool) -> Answer:
        return Answer(f"{self._supervisor.phases.state}\n".encode(), 200 if well else 503)

    # -- scoreboard

    def _scoreboard(self, query: str) -> Answer:
        supervisor = self._supervisor
        supervisor.refresh(time.monotonic())
        if "watch" in query:
            return Answer(self.next_line(""), type="application/x-ndjson", stream=True)
        document = self._aggregate(0, "")
        document["processes"] = [
            supervisor.observer.process(
                process, supervisor.resources.rss.get(process.pid, 0), accepting=supervisor.phases.accepting
            )
            for process in supervisor.brood.processes.values()
        ]
        return _json(document)

    def next_line(self, edge: str) -> bytes:
        self._supervisor.line += 1
        return (
            json.dumps(self._aggregate(self._supervisor.line, edge), separators=(",", ":")).encode() + b"\n"
        )

    def _aggregate(self, line: int, edge: str) -> dict[str, Any]:
        supervisor = self._supervisor
        load, totals, resources = supervisor.load, supervisor.observer.totals(), supervisor.resources
        return {
            "boot": supervisor.boot,
            "pod": supervisor.options.pod_uid,
            "line": line,
            "edge": edge,
            "state": supervisor.phases.state,
            "sequence": supervisor.sequence,
            "keyVersion": supervisor.key_version,
            "mpm": supervisor.options.mpm,
            "generation": supervisor.brood.generation,
            "servers": len(supervisor.brood.processes),
            "threadsPerChild": supervisor.threads,
            "threadsCeiling": supervisor.ceiling,
            "threadLimit": supervisor.options.thread_limit,
            "settings": supervisor.settings.document(),
            "workers": {"busy": load.busy, "idle": load.idle, "total": load.total, "queue": load.queue},
            "backlog": {
                "depth": load.backlog.depth,
                "limit": load.backlog.limit,
                "overflows": load.backlog.overflows,
            },
            "connections": {
                "open": load.connections,
                "keepAlive": load.keep_alive,
                "reading": load.reading,
                "closing": load.closing,
            },
            "totals": {
                "accesses": totals.accesses,
                "bytes": totals.sent,
                "connections": totals.connections,
                "busyMs": totals.busy_ms,
                "unauthorized": supervisor.unauthorized,
                "cut": supervisor.brood.ends["deadline"],
            },
            "cpu": {
                "ms": int(resources.cpu.total * 1000),
                "userMs": int((resources.cpu.user + resources.cpu.children_user) * 1000),
                "quota": resources.allowed.cpus,
                "throttledMs": resources.allowed.throttled_ms,
            },
            "memory": {"rss": resources.memory, "limit": resources.allowed.memory},
            "uptimeMs": int((time.monotonic() - supervisor.booted) * 1000),
            "letters": code(self._letters()),
        }

    # -- pages

    def _status(self, query: str) -> Answer:
        """As mod_status reads its query: the words count wherever they stand."""
        seconds = status.refresh(query)
        headers = () if seconds is None else (("Refresh", seconds),)
        if "auto" in query:
            text = status.auto(self._view()).encode("latin-1", "replace")
            return Answer(text, type="text/plain; charset=ISO-8859-1", headers=headers)
        if "json" in query:
            return replace(self._scoreboard(""), headers=headers)
        table = "notable" not in query
        text = page(self._view(html=True, slots=table), table=table).encode()
        return Answer(text, type="text/html; charset=utf-8", headers=headers)

    def _metrics(self, _: str) -> Answer:
        supervisor = self._supervisor
        memory = {
            process.row: (supervisor.resources.rss.get(process.pid, 0), procfs.pss(process.pid))
            for process in supervisor.brood.processes.values()
        }
        text = metrics(self._view(), memory)
        return Answer(text.encode(), type="text/plain; version=0.0.4; charset=utf-8")

    def _view(self, *, html: bool = False, slots: bool = False) -> status.View:
        supervisor = self._supervisor
        supervisor.refresh(time.monotonic())
        processes = supervisor.brood.processes.values()
        return status.View(
            version=_VERSION,
            mpm=supervisor.options.mpm,
            name=socket.gethostname(),
            via=supervisor.listeners.address,
            built=_BUILT,
            now=time.time(),
            started=supervisor.started,
            uptime=time.monotonic() - supervisor.booted,
            generation=supervisor.brood.generation,
            load_average=os.getloadavg(),
            load=supervisor.load,
            totals=supervisor.observer.totals(),
            resources=supervisor.resources,
            letters=self._letters(),
            servers=len(processes),
            stopping=sum(self._going(process) for process in processes),
            unauthorized=supervisor.unauthorized,
            ended=supervisor.brood.ends,
            durations=supervisor.observer.durations(),
            slots=list(self._slots()) if slots else (),
            processes=list(self._processes()) if html and supervisor.options.mpm == "event" else (),
        )

    def _letters(self) -> str:
        """Of all slots there are, and a dot for each that a server still to come would have."""
        supervisor, processes = self._supervisor, self._by_row()
        accepting = supervisor.phases.accepting
        rows = [letters_of(supervisor.board, process, accepting=accepting) for process in processes]
        shown = [row[: max(supervisor.threads, len(row.rstrip(".")))] for row in rows]
        return "".join(shown) + "." * (supervisor.threads * (supervisor.settings.processes - len(rows)))

    def _processes(self) -> Iterator[status.ServerLine]:
        board, accepting = self._supervisor.board, self._supervisor.phases.accepting
        for process in self._by_row():
            record = board.server(process.row)
            going = self._going(process)
            yield status.ServerLine(
                place=process.row,
                pid=process.pid,
                stopping=going,
                connections=record[Server.CONNECTIONS],
                accepting=not going and process.ready and not record[Server.NOT_ACCEPTING],
                letters=letters_of(board, process, accepting=accepting),
                reading=record[Server.READING],
                keep_alive=record[Server.KEEPALIVE],
                closing=record[Server.LINGERING],
            )

    def _by_row(self) -> list[Process]:
        return sorted(self._supervisor.brood.processes.values(), key=lambda process: process.row)

    def _going(self, process: Process) -> bool:
        return bool(process.retired) or not self._supervisor.phases.accepting

    def _slots(self) -> Iterator[status.SlotLine]:
        board, accepting = self._supervisor.board, self._supervisor.phases.accepting
        now = time.monotonic()
        width = LINE if board.extended else TEXT
        for process in self._by_row():
            for thread, letter in enumerate(letters_of(board, process, accepting=accepting)):
                index = process.row * board.threads + thread
                clients = bytes(board.clients[index * TEXT : (index + 1) * TEXT]) if board.extended else b""
                yield status.SlotLine(
                    server=f"{process.row}-{thread}",
                    pid=process.pid,
                    accesses=board.accesses[index],
                    letter=letter,
                    seconds=max(0.0, now - (board.since[index] or now)),
                    milliseconds=board.last[index] * 1e3,
                    busy_milliseconds=board.busy[index] * 1e3,
                    sent=board.sent[index],
                    client=clients.rstrip(b"\0").decode("utf-8", "replace"),
                    request=bytes(board.requests[index * width : (index + 1) * width])
                    .rstrip(b"\0")
                    .decode("latin-1"),
                )

    # -- control

    def _control(self, request: Request, body: bytes) -> Answer:
        supervisor = self._supervisor
        headers = request.headers
        call = Call(
            request.method,
            request.target_text,
            headers.get("x-mpm-sequence", ""),
            headers.get("x-mpm-signature", ""),
            body,
        )
        try:
            keys = supervisor.keys.load()
            if not keys:
                raise Refused(supervisor.keys.problem)
            pod, boot, last = supervisor.options.pod_uid, supervisor.boot, supervisor.sequence
            supervisor.sequence, supervisor.key_version = verify(call, keys, pod, boot, last)
        except Refused as refusal:
            supervisor.unauthorized += 1
            return _json({"error": str(refusal)}, 401)
        try:
            return self._call(call)
        except BadChange as error:
            return _json({"error": str(error), "field": error.name}, 400)

    def _call(self, call: Call) -> Answer:
        """Do it; 404 when there is no such call."""
        supervisor, document = self._supervisor, parse_object(call.body)
        match call.method, call.path:
            case "PUT", "/control":
                limit = supervisor.options.thread_limit
                supervisor.change(parse_changes(document, limit, supervisor.brood.most))
            case "POST", "/control/quiesce":
                seconds = number("ttlSeconds", document.get("ttlSeconds"), 0.1, _LONGEST_QUIESCE, whole=False)
                within = document.get("idleWithinSeconds", 0)
                within = number("idleWithinSeconds", within, 0, _LONGEST_QUIESCE, whole=False)
                if not supervisor.phases.quiesce(seconds, within):
                    return _json(self._aggregate(0, ""))  # nothing has changed yet
            case "POST", "/control/resume":
                supervisor.phases.resume()
            case "POST", "/control/rebalance":
                supervisor.rebalance(number("share", document.get("share"), 0, 1, whole=False))
            case _:
                return _json({"error": f"no such call: {call.method} {call.path}"}, 404)
        supervisor.emit("Control")
        return _json(self._aggregate(0, ""))


def _json(document: dict[str, Any], code: int = 200) -> Answer:
    return Answer(json.dumps(document).encode() + b"\n", code, _JSON)
