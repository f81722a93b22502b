"""A real TCP connection: the gateway serves one end in a thread, the test talks on the other."""

from __future__ import annotations

import io
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import h11
import pytest

from mpm_worker.http import Connection, Limits, ProtocolError
from mpm_worker.wsgi import Outcome, Server, Spooling, reject, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class Live:
    timeout: float = 30.0


@dataclass
class Response:
    status: int
    reason: str
    headers: dict[str, str]
    body: bytes
    whole: bool = True


@dataclass
class Conversation:
    """One connection from accept to close; `outcomes` and `errors` (wsgi.errors) are whole after `close`."""

    client: socket.socket
    thread: threading.Thread
    errors: io.StringIO
    outcomes: list[Outcome] = field(default_factory=list)

    def send(self, data: bytes) -> None:
        self.client.sendall(data)

    def end(self) -> None:
        """The client's half of the connection is over."""
        try:
            self.client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server was faster and reset the connection

    def read(self) -> bytes:
        """Everything until the server closes; a reset ends it too."""
        received = b""
        try:
            while data := self.client.recv(65536):
                received += data
        except ConnectionResetError:
            received += b"<reset>"
        self.close()
        return received

    def read_some(self, until: bytes) -> bytes:
        received = b""
        while until not in received:
            data = self.client.recv(65536)
            assert data, f"the server closed after {received!r}"
            received += data
        return received

    def close(self) -> None:
        self.client.close()
        self.thread.join(60)
        assert not self.thread.is_alive(), "the gateway did not come back"


def converse(
    sock: socket.socket,
    app: Any,
    talk: Conversation,
    live: Live,
    limits: Limits,
    must_close: bool,
    spooling: Spooling,
) -> None:
    """The least a process must do around the gateway."""
    server = Server(
        "127.0.0.1", 8000, multithread=True, multiprocess=False, errors=talk.errors, spooling=spooling
    )
    connection = Connection(limits)
    connection.peer = ("127.0.0.1", "1234")
    sock.settimeout(live.timeout)
    with sock:
        while True:
            try:
                request = connection.next_request()
            except ProtocolError as error:
                reject(sock, error)
                return
            if request is None:
                if connection.eof:
                    return
                try:
                    connection.receive(sock.recv(65536))
                except OSError:
                    return
                continue
            outcome = serve(sock, connection, request, app, server, live, lambda: must_close)
            talk.outcomes.append(outcome)
            if not outcome.keep_alive:
                return


@pytest.fixture
def connect() -> Iterator[Callable[..., Conversation]]:
    """Opens a conversation with `app`; all are closed after the test."""
    talks: list[Conversation] = []

    def open_one(
        app: Any,
        timeout: float = 30.0,
        limits: Limits | None = None,
        must_close: bool = False,
        **spooling: Any,
    ) -> Conversation:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname(), timeout=60)
            accepted, _ = listener.accept()
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        talk = Conversation(client, threading.Thread(), io.StringIO())
        arguments = (accepted, app, talk, Live(timeout), limits or Limits(), must_close, Spooling(**spooling))
        talk.thread = threading.Thread(target=converse, args=arguments, daemon=True)
        talk.thread.start()
        talks.append(talk)
        return talk

    yield open_one
    for talk in talks:
        talk.close()


@pytest.fixture
def ask(connect: Callable[..., Conversation]) -> Callable[..., Response]:
    """One request, and its response as h11 reads it. `whole` is false when the message was cut off."""

    def ask_once(app: Any, stream: bytes | None = None, **options: Any) -> Response:
        talk = connect(app, **options)
        stream = stream or b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        talk.send(stream)
        talk.end()
        (response,) = parse(talk.read(), [stream.split(b" ")[0].decode()])
        return response

    return ask_once


def parse(received: bytes, methods: list[str]) -> list[Response]:
    """The responses to requests with `methods`; fails on anything that is not HTTP, or left over."""
    reset = received.endswith(b"<reset>")
    reader = h11.Connection(h11.CLIENT)
    reader.receive_data(received.removesuffix(b"<reset>"))
    if not reset:
        reader.receive_data(b"")
    responses = []
    for place, method in enumerate(methods, 1):
        reader.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
        reader.send(h11.EndOfMessage())
        responses.append(read_one(reader))
        if place < len(methods):
            reader.start_next_cycle()
    assert reader.trailing_data[0] == b""
    return responses


def read_one(reader: h11.Connection) -> Response:
    response: Response | None = None
    while True:
        try:
            event = reader.next_event()
        except h11.RemoteProtocolError:
            assert response is not None
            response.whole = False
            return response
        if isinstance(event, h11.Response):
            headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
            assert len(headers) == len(event.headers), f"a header twice: {event.headers}"
            response = Response(event.status_code, event.reason.decode("latin-1"), headers, b"")
        elif isinstance(event, h11.Data):
            assert response is not None
            response.body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert response is not None
            return response
        elif event is h11.NEED_DATA:
            assert response is not None
            response.whole = False
            return response


@pytest.fixture
def responses() -> Callable[[bytes, list[str]], list[Response]]:
    return parse
