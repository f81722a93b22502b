"""The compiled pieces beside what they stand for: reads, events, and a slot's line of the scoreboard."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpm_worker import compiled
from mpm_worker.scoreboard import BOUNDS, LINE, READY, TEXT, WRITE, Scoreboard, Slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

try:
    MODULES = [import_module("mpm_worker._compiled")]
except ImportError:
    MODULES = []  # test_both_twins says where that is right

WAITERS = [compiled.PureWaiter, *(module.Waiter for module in MODULES)]
READERS = [os.read, *(module.receive for module in MODULES)]
SENDERS = [module.transmit for module in MODULES]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    listener = socket.create_server(("127.0.0.1", 0))
    ours = socket.create_connection(listener.getsockname())
    theirs, _ = listener.accept()
    listener.close()
    ours.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


Pair = tuple[socket.socket, socket.socket]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("size", [1, 16383, 16384, 16385, 60000])
def test_what_has_come_is_read_in_one_go(pair: Pair, read: Callable[[int, int], bytes], size: int) -> None:
    ours, theirs = pair
    data = os.urandom(size)
    theirs.sendall(data)
    while len(ours.recv(size, socket.MSG_PEEK)) < size:
        select.select([ours], [], [], 1)
    assert read(ours.fileno(), 131072) == data


@pytest.mark.parametrize("waiter", WAITERS)
def test_what_comes_is_awaited_for_a_time(pair: Pair, waiter: type[compiled.PureWaiter]) -> None:
    ours, theirs = pair
    one = waiter(ours.fileno())
    assert not one.wait(0.001)
    assert one.receive(0.001, 65536) is None
    theirs.sendall(b"abc")
    assert one.wait(60)
    assert one.receive(60, 65536) == b"abc"
    theirs.close()
    assert one.receive(60, 65536) == b""


@pytest.mark.parametrize("waiter", WAITERS)
def test_a_wait_gives_way_to_other_threads_and_to_signals(
    pair: Pair, waiter: type[compiled.PureWaiter]
) -> None:
    ours, theirs = pair
    heard: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: (heard.append(number), theirs.send(b"x")))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        one = waiter(ours.fileno())
        assert one.wait(60) or one.wait(60)  # a signal may end the first
    finally:
        signal.signal(signal.SIGALRM, before)
    assert heard == [signal.SIGALRM]
    threading.Timer(0.05, theirs.send, [b"y"]).start()
    ours.recv(10)
    assert one.receive(60, 65536) == b"y"


@pytest.mark.parametrize("read", READERS)
def test_never_more_is_read_than_asked_for(pair: Pair, read: Callable[[int, int], bytes]) -> None:
    ours, theirs = pair
    theirs.sendall(b"abcdef")
    select.select([ours], [], [], 60)
    assert read(ours.fileno(), 4) == b"abcd"
    assert read(ours.fileno(), 4) == b"ef"


@pytest.mark.parametrize("read", READERS)
def test_nothing_and_the_end_are_told_apart(pair: Pair, read: Callable[[int, int], bytes]) -> None:
    ours, theirs = pair
    with pytest.raises(BlockingIOError):
        read(ours.fileno(), 10)
    theirs.shutdown(socket.SHUT_WR)
    select.select([ours], [], [], 60)
    assert read(ours.fileno(), 10) == b""


@pytest.mark.parametrize("read", READERS)
def test_a_reset_is_an_error(pair: Pair, read: Callable[[int, int], bytes]) -> None:
    reset(*pair)
    with pytest.raises(ConnectionResetError):
        read(pair[0].fileno(), 10)


def reset(ours: socket.socket, theirs: socket.socket) -> None:
    """Their end goes without a word; returns once ours knows."""
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    poll = select.poll()
    poll.register(ours, select.POLLERR)
    assert poll.poll(60_000)


@pytest.mark.parametrize("send", SENDERS)
def test_a_full_socket_takes_nothing_and_a_closed_one_is_an_error(
    pair: Pair, send: Callable[[int, bytes], int]
) -> None:
    descriptor = pair[0].fileno()
    while send(descriptor, b"x" * 65536):
        pass
    reset(*pair)
    with pytest.raises(ConnectionResetError):
        send(descriptor, b"x")


def test_events_are_those_of_epoll(pair: Pair) -> None:
    ours, theirs = pair
    with select.epoll() as epoll:
        epoll.register(ours, select.EPOLLIN | select.EPOLLRDHUP)
        assert compiled.poll(epoll, 0.0, 8) == []
        assert compiled.poll(epoll, 0.02, 8) == []
        theirs.sendall(b"x")
        assert compiled.poll(epoll, 10.0, 8) == epoll.poll(10, 8) == [(ours.fileno(), select.EPOLLIN)]
        theirs.shutdown(socket.SHUT_WR)
        select.select([ours], [], [], 60)
        assert compiled.poll(epoll, -1.0, 8) == epoll.poll(-1, 8)


STEPS = st.one_of(
    st.tuples(st.just("begin"), st.just(b"R"[0]), st.booleans()),
    st.tuples(st.just("state"), st.sampled_from(list(b"KCL"))),
    st.tuples(st.just("request"), st.binary(max_size=300), st.text(max_size=80)),
    st.tuples(st.just("done"), st.integers(0, 1 << 40)),
    st.tuples(st.just("release"), st.sampled_from([READY, WRITE])),
)


def run(slot: Any, steps: list[tuple[Any, ...]]) -> None:
    for name, *values in steps:
        if name == "begin":
            slot.begin(values[0], complete=values[1])
        else:
            getattr(slot, name)(*values)


@pytest.mark.parametrize("module", MODULES)
@given(steps=st.lists(STEPS, max_size=30), extended=st.booleans())
def test_both_slots_write_the_same(module: Any, steps: list[tuple[Any, ...]], extended: bool) -> None:
    boards = [Scoreboard(2, 3, extended=extended) for _ in range(2)]
    widths = (LINE, TEXT) if extended else (TEXT, 0)
    slots: list[Any] = [Slot(boards[0], 4), module.Slot(boards[1], 4, BOUNDS, *widths)]
    for slot in slots:
        run(slot, steps)
    one, other = boards
    for column in ("letters", "requests", "clients", "accesses", "sent"):
        assert getattr(one, column).tolist() == getattr(other, column).tolist(), column
    # Durations are a clock's: only how many there are, and that no cell of another slot was touched.
    assert sum(one.durations) == sum(other.durations)
    for column in ("busy", "took", "since", "last"):
        cells = getattr(other, column).tolist()
        assert [cell != 0 for cell in cells] == [cell != 0 for cell in getattr(one, column).tolist()], column
        assert not any(cells[:4] + cells[5:])
