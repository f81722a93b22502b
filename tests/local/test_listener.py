"""The one socket of all pods: bound for life, its queue counted, a port that cannot be had is named."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from mpm_operator.local.listener import Listener, PortTaken


def test_connections_that_wait_are_counted() -> None:
    listener = Listener("127.0.0.1", 0, 16)
    clients = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(3)]
    assert listener.depth() == 3
    listener.socket.accept()[0].close()
    assert listener.depth() == 2
    for client in clients:
        client.close()
    listener.close()


def test_a_port_that_is_taken_is_named_with_the_option() -> None:
    listener = Listener("127.0.0.1", 0, 1)
    with pytest.raises(
        PortTaken, match=rf"port {listener.port} of 127\.0\.0\.1 is taken.*--port {listener.port + 1}"
    ):
        Listener("127.0.0.1", listener.port, 1)
    listener.close()


def test_a_port_can_be_bound_again_at_once() -> None:
    listener = Listener("127.0.0.1", 0, 1)
    port = listener.port
    client = socket.create_connection(("127.0.0.1", port))
    server, _ = listener.socket.accept()
    server.close()  # our side ends first and goes to TIME_WAIT
    client.close()
    listener.close()
    Listener("127.0.0.1", port, 1).close()


def test_a_port_that_only_root_may_bind_is_named_with_the_option() -> None:
    """In a child without root's rights, so that it means the same whoever runs the tests."""
    code = (
        "import os, sys\n"
        "from mpm_operator.local.listener import Listener, PortTaken\n"
        "if os.geteuid() == 0:\n"
        "    os.setuid(65534)\n"
        "try:\n"
        "    Listener('127.0.0.1', 1, 1)\n"
        "except PortTaken as error:\n"
        "    sys.exit(str(error))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "--port 8080" in ended.stderr
