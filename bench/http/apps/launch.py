"""Starts processes of a server whose command line starts one: `launch.py SERVER PORT MODULE PROCESSES`."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Any

THREADS = 16


def waitress(app: Any, port: int) -> None:
    import socket

    from waitress import serve

    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    fork()
    serve(app, sockets=[sock], threads=THREADS, backlog=511, connection_limit=20000)


def cheroot(app: Any, port: int) -> None:
    from cheroot.wsgi import Server

    fork()
    server = Server(("127.0.0.1", port), app, numthreads=THREADS, request_queue_size=511)
    server.reuse_port = True
    server.safe_start()


def bjoern(app: Any, port: int) -> None:
    import bjoern as server

    fork()
    server.run(app, "127.0.0.1", port, reuse_port=True)


def fastwsgi(app: Any, port: int) -> None:
    import fastwsgi as server

    fork()
    server.run(app, "127.0.0.1", port, loglevel=0)


def fork() -> None:
    """The parent serves too; all are in the group that is ended."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    for _ in range(int(sys.argv[4]) - 1):
        if not os.fork():
            return


if __name__ == "__main__":
    name, port_text, module = sys.argv[1:4]
    application = importlib.import_module(module).application
    {"waitress": waitress, "cheroot": cheroot, "bjoern": bjoern, "fastwsgi": fastwsgi}[name](
        application, int(port_text)
    )
