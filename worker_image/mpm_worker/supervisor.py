"""The supervisor: one thread, one loop, owner of listeners, servers, scoreboard and admin port.

It never serves a request and never starts a thread: the process that forks has exactly one.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mpm_worker import compiled
from mpm_worker.admin import Admin
from mpm_worker.app import AppError, preload
from mpm_worker.brood import Brood, NoChild, wake
from mpm_worker.burst import Burst
from mpm_worker.child import READY
from mpm_worker.control import Keys
from mpm_worker.drain import Drain
from mpm_worker.forked import end_one_that_came_back
from mpm_worker.hooks import Hooks
from mpm_worker.observe import Arrivals, Load, Observer
from mpm_worker.option import EVENT, OptionError
from mpm_worker.phases import Phases
from mpm_worker.pressure import Pressure
from mpm_worker.procfs import Cpu
from mpm_worker.routes import SERVER, Routes
from mpm_worker.say import say
from mpm_worker.scoreboard import Live, Scoreboard
from mpm_worker.settings import at_start, publish
from mpm_worker.signals import Signals
from mpm_worker.start import rows_of
from mpm_worker.wear import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_worker.brood import Process
    from mpm_worker.options import Options
    from mpm_worker.start import Ports

EXIT_DRAINED, EXIT_OPTIONS, EXIT_NO_CHILD = 0, 2, 3

_TICK = 1.0
_BUSY_TICK = 0.05
"""Seconds between two looks while no slot is idle, or while the end is near."""
_WAITING_TICK = 0.02
"""The same while a quiesce waits for an idle moment: between short requests these are short."""
_EDGE_GAP = 0.01
"""Least time between two looks that children asked for."""
_FLAPPING = ("", "Saturated", "Queued")
_SAME_EDGE_GAP = 0.25
"""A pod on the verge of saturation flaps; its watchers hear of one kind of edge no more often."""


class Supervisor:
    """The life of one pod, from the first fork to the last request."""

    def __init__(self, options: Options, ports: Ports) -> None:
        """:raises OSError: there is no memory for the scoreboard"""
        self.options = options
        self.boot = os.urandom(8).hex()
        self.started, self.booted = time.time(), time.monotonic()
        event = options.mpm == EVENT
        self.listeners = ports.requests
        self.admin_url = ports.admin.urls
        self.notifier = ports.notifier
        self.board = Scoreboard(rows_of(options), options.thread_limit, extended=options.extended_status)
        self.keys = Keys(options.control_keys)
        self.settings = at_start(options)
        self.threads = self.ceiling = options.threads
        self.sequence = self.key_version = self.unauthorized = self.line = 0
        self.ever_ready = False
        self.selector = selectors.DefaultSelector()
        self.brood = Brood(options, self.board, self.listeners, self._adopt, self._bury, self._cut_cord)
        self.arrivals = Arrivals(self.board)
        self.drain = Drain(self.brood, self.board, self.listeners, self.arrivals)
        self.phases = Phases(self)
        self.watch = Watch(options, self.board, self.brood)
        self.observer = Observer(self.board, self.listeners, self.brood, event)
        self.admin = Admin(ports.admin, self.selector, Routes(self).handle, SERVER)
        self.load: Load = self.observer.load(accepting=False)
        self.resources = self.observer.resources(Cpu())
        self._burst, self._pressure = Burst(), Pressure()
        self._told_full = False
        self._edges: dict[str, float] = {}
        self._due = self._tick_due = 0.0
        actions: dict[int, Callable[[], object]] = {
            signal.SIGTERM: self.phases.stop,
            signal.SIGWINCH: self.phases.stop,
            signal.SIGINT: self.drain.cut,
            signal.SIGHUP: self.restart,
            signal.SIGUSR1: self.restart,
            signal.SIGTTIN: lambda: self.change(
                {"processes": min(self.settings.processes + 1, self.brood.most)}
            ),
            signal.SIGTTOU: lambda: self.change({"processes": max(self.settings.processes - 1, 1)}),
            signal.SIGCHLD: lambda: None,
        }
        self._signals = Signals(actions, self._look_at_once)

    # -- the loop

    def run(self) -> int:
        """Serve until told to end; the exit code."""
        say(f"starting {self.options.app} ({compiled.kind()}), admin on {self.admin_url}", colon="")
        own, held = os.getpid(), self._signals.held
        os.register_at_fork(before=held.hold, after_in_parent=held.release, after_in_child=self._part)
        try:
            self.brood.hooks = Hooks(self.options.hooks)
            if self.options.preload:
                preload(self.options.app)
        except AppError as error:
            say(f"{self.options.app} cannot be started: {error}")
            self.admin.close()
            return EXIT_NO_CHILD
        finally:
            if os.getpid() != own:
                end_one_that_came_back(self.options.app)
        self._signals.catch(self.selector)
        self._write_settings()
        try:
            while not self.drain.over:
                now = time.monotonic()
                if now >= self._due:
                    self._look(now)
                wait = min(self._due - time.monotonic(), self.admin.wait())
                for key, mask in self.selector.select(max(0.0, wait)):
                    key.data(mask)
                self.admin.serve_parked()
            self.emit("")  # the last requests count too
        except NoChild as error:
            say(str(error))
            return EXIT_NO_CHILD
        finally:
            for process in self.brood.processes.values():
                os.kill(process.pid, signal.SIGKILL)
            self.admin.close()
        return EXIT_DRAINED

    def _look(self, now: float) -> None:
        """Everything the supervisor does of its own accord, at each tick and each edge."""
        self.board.live[Live.ALARM] = 0
        self.brood.reap(now)
        self.phases.lapse(now)
        self.arrivals.look(now)
        self.drain.step(now)
        self.brood.maintain(now)
        self.refresh(now)
        self.phases.quiesce_when_idle(now)
        tick = now >= self._tick_due
        if tick or (self.saturated and self.ceiling > self.settings.threadsPerChild):
            self.resources = self.observer.resources(self.resources.cpu)
        self._stretch(now)
        if tick:
            self._tick_due = now + _TICK
            self.watch.look(now, self.resources)
            self.admin.sweep()
            self.emit("")
            if self.listeners.certificates is not None and self.listeners.certificates.changed():
                self._reload_certificates()
        self._tell_the_service_manager()
        hurry = self.saturated or not self.phases.accepting or self._pressure.seen
        self._due = min(self._tick_due, now + _BUSY_TICK) if hurry else self._tick_due
        if self.phases.waiting:
            self._due = min(self._due, now + _WAITING_TICK)
        self._due = min(self._due, now + self.notifier.interval)

    def refresh(self, now: float) -> None:
        """See the load as it is now; also for one who asks between two ticks."""
        before = self.load
        self.measure()
        self.board.live[Live.PRESSURE] = self._pressure.look(self.load, now)
        self._find_edges(before, now)

    def measure(self) -> None:
        """Read the load off the scoreboard."""
        self.load = self.observer.load(accepting=self.phases.accepting)

    def _tell_the_service_manager(self) -> None:
        brood, load = self.brood, self.load
        stale = any(one.generation < brood.generation for one in brood.staying())
        state = self.phases.state
        status = f"{state}: {load.busy} busy, {load.idle} idle, {load.queue} waiting"
        self.notifier.tell(state, reloading=stale, status=status)

    def _look_at_once(self) -> None:
        self._due = 0.0

    def soon(self) -> None:
        """Look again within milliseconds."""
        self._due = min(self._due, time.monotonic() + _EDGE_GAP)

    @property
    def saturated(self) -> bool:
        return self.load.idle == 0 and self.load.busy > 0

    def _stretch(self, now: float) -> None:
        threads = self._burst.threads(
            self.load,
            now,
            cpu_seconds=self.resources.cpu.total,
            cpus=self.resources.allowed.cpus,
            have=self.threads,
            base=self.settings.threadsPerChild,
            ceiling=self.ceiling,
            servers=max(1, len(self.brood.staying())),
        )
        if threads != self.threads:
            self.threads = threads
            self._write_settings()

    def _find_edges(self, before: Load, now: float) -> None:
        if self.load.idle == 0 and before.idle > 0 and self.phases.accepting:
            self.edge("Saturated", now)
        if self._told_full and self.load.idle > 0:
            # Or watchers would take the fullest moments of a second for its mean.
            self.edge("", now)
        if self.load.queue > 0 and before.queue == 0:
            self.edge("Queued", now)
        self.phases.find_drained(now)
        if self.brood.ever_ready and not self.ever_ready:
            self.ever_ready = True
            say(f"listening on {self.listeners.urls}, admin on {self.admin_url}", colon="")
            self.brood.hooks.attempt("when_ready")
            self.edge("Ready", now)

    def edge(self, name: str, now: float) -> None:
        """Tell the watchers at once."""
        if name not in _FLAPPING or now - self._edges.get(name, 0.0) >= _SAME_EDGE_GAP:
            self._edges[name] = now
            self.emit(name)

    def emit(self, edge: str) -> None:
        self._told_full = self.load.idle == 0
        if self.admin.watched:
            self.admin.publish(Routes(self).next_line(edge))

    # -- what is asked for

    def rebalance(self, share: float) -> None:
        self.board.live[Live.RELEASE_SHARE] = round(share * 1000)
        self.board.live[Live.RELEASE] += 1
        self.brood.wake_all()

    def change(self, changes: dict[str, Any]) -> bool:
        """Apply what control asked for; whether anything is different now."""
        changes = dict(changes)
        old, bursting = (self.settings, self.ceiling), self.threads > self.settings.threadsPerChild
        self.ceiling = changes.pop("threadsCeiling", self.ceiling)
        self.settings = replace(self.settings, **changes)
        asked = self.settings.threadsPerChild
        if asked != old[0].threadsPerChild:
            self.threads = max(asked, self.threads) if bursting else asked
        self.ceiling = max(self.ceiling, asked)
        self._write_settings()
        return old != (self.settings, self.ceiling)

    def _write_settings(self) -> None:
        publish(self.settings, self.board.live)
        self.board.live[Live.THREADS] = self.threads
        self.brood.wanted = self.settings.processes
        self.brood.wake_all()
        self.soon()

    def restart(self) -> None:
        """Replace the processes by new ones, with the certificates of now."""
        if self.listeners.certificates is not None:
            self._reload_certificates()
        if self.options.preload:
            say("the application was preloaded: new servers have its code of the start, too")
        self.brood.restart()
        say(f"graceful restart: servers of generation {self.brood.generation} replace those that are there")

    def _reload_certificates(self) -> None:
        certificates = self.listeners.certificates
        assert certificates is not None
        try:
            certificates.reload()
        except OptionError as error:
            say(f"{error}; the certificate from before goes on")
        else:
            self.board.live[Live.CERTIFICATES] = certificates.number
            say("the certificate was read again")

    # -- descriptors

    def _adopt(self, process: Process) -> None:
        def hear(_: int) -> None:
            self._hear(process)

        self.selector.register(process.channel, selectors.EVENT_READ, hear)

    def _bury(self, process: Process) -> None:
        if process.channel in self.selector.get_map():
            self.selector.unregister(process.channel)

    def _hear(self, process: Process) -> None:
        try:
            message = process.channel.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self._bury(process)  # it is about to end; its channel would be readable for ever
            return
        if READY in message:
            self.brood.became_ready(process)
            wake(process)
            self._due = 0.0
        self.soon()

    def _part(self) -> None:
        """In a new process. One that a hook or a preloaded application forks is no server and no supervisor:

        with handlers and listeners of ours it would end the pod instead of itself, and keep its ports taken.
        """
        if self.brood.forking:
            self._signals.held.release()
            return
        self.brood.forking = True  # what it forks in turn is its own affair
        self._signals.forget()
        self.brood.leave()
        self.listeners.close()

    def _cut_cord(self) -> None:
        """In a new child: nothing of the supervisor's may stay open in it."""
        self.selector.close()
        self.notifier.close()
        self.admin.close()
        self._signals.close()
