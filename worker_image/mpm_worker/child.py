"""What a server process is, whichever model runs in it: its application, its channel, its live settings.

The channel is a socket pair with the supervisor. A byte from above means "look at the scoreboard", its end
means that the supervisor is dead and nobody listens any more: the process exits at once.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from mpm_worker.accesslog import AccessLog
from mpm_worker.app import AppError, load_app
from mpm_worker.client import Client
from mpm_worker.entrance import Entrance
from mpm_worker.forked import Parting
from mpm_worker.http import Connection
from mpm_worker.live import LiveSettings
from mpm_worker.options import EVENT, PREFORK, WORKER
from mpm_worker.requestid import first_part
from mpm_worker.say import flush, say
from mpm_worker.scoreboard import Live, Phase, Record, Scoreboard, Server
from mpm_worker.serving import serve_slot
from mpm_worker.signals import nothing
from mpm_worker.stack import Stacks
from mpm_worker.wear import TRACE, Wear, spread
from mpm_worker.wsgi import Server as Environment
from mpm_worker.wsgi import Spooling

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from mpm_worker.app import Application
    from mpm_worker.hooks import Hooks
    from mpm_worker.listeners import Listeners
    from mpm_worker.options import Options
    from mpm_worker.passing import Inboxes
    from mpm_worker.signals import Handler

EXIT_APP = 4
"""The application cannot be imported; trying again at once helps nobody."""

READY, ALARM = b"r", b"a"

# Asked at each response, and a member of an enum costs more to find than its cell to read.
_PHASE, _PRESSURE, _KEEP_ALIVE = int(Live.PHASE), int(Live.PRESSURE), int(Live.KEEP_ALIVE)
_MOST_REQUESTS, _RELEASE = int(Live.MAX_KEEP_ALIVE_REQUESTS), int(Live.RELEASE)
_TIMEOUT, _KEEP_ALIVE_TIMEOUT = int(Live.TIMEOUT), int(Live.KEEP_ALIVE_TIMEOUT)
_RETIRING = int(Server.RETIRING)

_NOT_OURS = (
    *(signal.SIGINT, signal.SIGHUP, signal.SIGUSR1),
    *(signal.SIGWINCH, signal.SIGTTIN, signal.SIGTTOU),
)
"""Signals to the supervisor that a terminal, or a careless kill, sends to the servers too."""

_TELL_AGAIN = 60.0
"""Seconds between two lines about the same lasting trouble."""
_FIRST_REQUEST = 1.0
"""Seconds at least for the first request of a connection that a draining process has accepted."""


class Child:
    """The process side of a server. One is made in each forked child."""

    def __init__(
        self,
        options: Options,
        board: Scoreboard,
        row: int,
        listeners: Listeners,
        channel: socket.socket,
        hooks: Hooks,
    ) -> None:
        self.options, self.board, self.row, self.listeners = options, board, row, listeners
        self.record: Record = board.server(row)
        self.live = LiveSettings(board.live)
        self.environment: Environment
        self.app: Application
        self.parting: Parting
        self.log: AccessLog | None = None
        self.entrance: Entrance | None = None
        self._first_part = first_part()
        self._cells = board.live
        self._channel, self._hooks = channel, hooks
        self._wake: Callable[[], None] = lambda: None
        self._accepted = 0
        self._spread = spread(os.getpid())
        self._tell_again = 0.0

    # -- life

    def run(self) -> NoReturn:
        """Serve until told to end. Never returns."""
        status = 1
        try:
            status = self._serve()
        except BaseException:
            say(traceback.format_exc())
        finally:
            flush()
            os._exit(status)

    def _serve(self) -> int:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        handlers: dict[int, Handler] = dict.fromkeys(_NOT_OURS, nothing) | {
            signal.SIGTERM: self._ask_for_replacement
        }
        for number, handler in handlers.items():
            signal.signal(number, handler)
        self.parting = Parting(self.listeners, self._channel, handlers)
        threading.Thread(target=self._follow, name="channel", daemon=True).start()
        try:
            self._hooks.call("post_fork", self.seat)
            self.app = load_app(self.options.app)
            self._hooks.call("post_worker_init", self.seat)
        except AppError as error:
            say(f"the application {self.options.app} cannot be started: {error}")
            return EXIT_APP
        except Exception:
            say(f"a function of --hooks {self.options.hooks} failed:\n{traceback.format_exc()}")
            return EXIT_APP
        if self.options.static:
            # Imported here: few need it, and it holds memory.
            from mpm_worker.static.app import StaticFiles

            self.app = StaticFiles(self.options.static, self.app, self.options.static_max_age)
        if self.options.access_log:
            self.log = AccessLog(self.options.access_log, self.options.access_log_format)
        if Entrance.needed(self.options, self.listeners):
            self.entrance = Entrance(self.options, self.listeners)
        first = self.listeners.all[0]
        self.environment = Environment(
            name=first.environ["SERVER_NAME"],
            port=first.environ["SERVER_PORT"],
            scheme=first.environ["wsgi.url_scheme"],
            multithread=self.options.mpm != PREFORK,
            multiprocess=self._has_siblings(),
            software=_software(),
            spooling=Spooling(
                self.options.request_buffering, self.options.spool_threshold, self.options.spool_dir
            ),
        )
        model = _model(self.options.mpm, self)
        self._wake = partial(self._woken, model.wake)
        self.record[Server.UP] = 1
        model.run()
        self._hooks.attempt("worker_exit", self.seat)
        if self.log is not None:
            self.log.close()
        return 0

    def _ask_for_replacement(self, number: int, frame: FrameType | None) -> None:
        self.record[Server.WORN] = Wear.ASKED
        self.tell(ALARM)

    def _follow(self) -> None:
        stacks = Stacks(serve_slot.__code__, self.board, self.row, self.live)
        while True:
            try:
                message = self._channel.recv(64)
            except OSError:
                break
            if not message:
                break
            if TRACE in message:
                stacks.log()
            self._wake()
        os._exit(1)

    def _woken(self, wake: Callable[[], None]) -> None:
        """The scoreboard has something new, perhaps a process more."""
        self.environment.environ["wsgi.multiprocess"] = self._has_siblings()
        wake()

    def _has_siblings(self) -> bool:
        """Whether the application may run in another process at the same time: also one that came later."""
        several = self.options.processes > 1 or self.options.mpm == PREFORK
        return several or self._cells[Live.ROWS] > 1

    def serving(self) -> None:
        """Told by the model once its slots are there."""
        self.tell(READY)

    def tell(self, message: bytes) -> None:
        try:
            self._channel.send(message, socket.MSG_DONTWAIT)
        except OSError:
            pass  # full: the supervisor has enough to wake up for; gone: _follow ends this process

    def alarm_if_full(self) -> None:
        """Called by a slot that became busy: the supervisor hears at once when it was the last idle one."""
        if not self._cells[Live.ALARM] and not self.board.any_ready():
            self.alarm()

    def alarm(self) -> None:
        self._cells[Live.ALARM] = 1
        self.tell(ALARM)

    # -- what every model asks

    @property
    def seat(self) -> int:
        return self.record[Server.SEAT]

    def ending(self) -> bool:
        """Whether this process accepts nothing more."""
        return self._cells[Live.PHASE] == Phase.FINISHING or self.record[Server.RETIRING] != 0

    def closing(self) -> bool:
        """Whether this process is to let go of its listeners too: the pod ends."""
        return self._cells[Live.PHASE] == Phase.FINISHING

    def draining(self) -> bool:
        return self._cells[Live.PHASE] != Phase.SERVING or self.record[Server.RETIRING] != 0

    def doors(self, seat: int) -> list[socket.socket]:
        """The sockets of a seat that this process accepts from, if it does.

        A pod that lets go leaves those that were handed down to the others that share them.
        """
        if self._cells[Live.PHASE] != Phase.LETTING_GO:
            return self.listeners.seat(seat)
        return [listener.seat(seat) for listener in self.listeners.all if not listener.shared]

    @property
    def inboxes(self) -> Inboxes | None:
        """Of connections that are passed on; never of those that are more than plain HTTP."""
        return self.listeners.inboxes if self.entrance is None else None

    def cannot_accept(self, error: OSError) -> None:
        """Told once in a while for as long as it lasts: who comes waits in the accept queue."""
        now = time.monotonic()
        if now >= self._tell_again:
            self._tell_again = now + _TELL_AGAIN
            say(f"server {os.getpid()} cannot accept a connection, so they wait: {error.strerror}")

    def welcome(self, sock: socket.socket, address: Any, listener: socket.socket | None) -> Client:
        """Count and prepare a connection that was accepted from `listener`, or came from a sibling (None)."""
        timeout = self._cells[_TIMEOUT]
        sock.settimeout(timeout / 1000)
        connection = Connection(self.live.limits)
        if isinstance(address, tuple):
            connection.peer = (str(address[0]), str(address[1]))
        self._accepted += 1
        self.record.add(Server.ACCEPTED, 1)
        most = self._cells[Live.MAX_CONNECTIONS_PER_CHILD]
        if most and self._accepted >= most + int(most * self._spread) and not self.record[Server.WORN]:
            self.record[Server.WORN] = Wear.SERVED
            self.tell(ALARM)
        client = Client(sock, connection, self.record[Server.ACCEPTED], self._cells[Live.RELEASE])
        client.timeout = timeout
        connection.label = f"{self._first_part}-{client.number:x}"
        if self.entrance is not None and listener is not None:
            self.entrance.welcome(client, listener, self._cells[Live.CERTIFICATES])
        return client

    def renew_timeout(self, client: Client) -> None:
        """A change of the timeout holds for connections that are open already, from their next request on."""
        now = self._cells[_TIMEOUT]
        if now != client.timeout:
            client.timeout = now
            client.sock.settimeout(now / 1000)

    def must_close(self, client: Client) -> bool:
        """Whether the response that is being made says `Connection: close`."""
        cells = self._cells
        most = cells[_MOST_REQUESTS]
        return bool(
            cells[_PHASE]
            or cells[_PRESSURE]
            or not cells[_KEEP_ALIVE]
            or not cells[_KEEP_ALIVE_TIMEOUT]
            or (most and client.served + 1 >= most)
            or self.record.cells[_RETIRING]
            or client.leaving
            or (cells[_RELEASE] != client.release and self.chosen(client))
        )

    def chosen(self, client: Client) -> bool:
        """Whether a rebalance call lets this connection go: a share of those open when the call came."""
        release = self._cells[Live.RELEASE]
        if release != client.release:
            client.release = release
            # Fibonacci hashing: numbers in a row fall evenly over the range, and otherwise at each call.
            place = (client.number * 2654435769 + release * 2246822519) % (1 << 32)
            client.leaving |= place * 1000 < self._cells[Live.RELEASE_SHARE] << 32
        return client.leaving

    def patience(self, client: Client) -> float:
        """How long to wait for the first byte of a request."""
        live = self.live
        if client.served:
            return live.keep_alive_timeout
        if self.draining():
            return min(live.timeout, max(live.keep_alive_timeout, _FIRST_REQUEST))
        return live.timeout


def _software() -> str:
    from mpm_worker import __version__

    return f"mpm-worker/{__version__}"


def _model(name: str, child: Child) -> Any:
    # Imported here: a process holds only the model that it runs.
    if name == EVENT:
        from mpm_worker.mpm.event import Event

        return Event(child)
    if name == WORKER:
        from mpm_worker.mpm.worker import Worker

        return Worker(child)
    from mpm_worker.mpm.prefork import Prefork

    return Prefork(child)
