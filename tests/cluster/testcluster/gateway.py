"""The way from the host to the API server: bytes from one inherited listener to one address.

A socket stays in the network namespace it was made in. The driver opens this listener on the host's 127.0.0.1
and hands it down; the process runs inside the cluster and can reach the API server there. Only that one
address is open, only to this machine, and the client still needs a certificate of the cluster.
"""

from __future__ import annotations

import asyncio
import socket
import sys

from testcluster.components import API_PORT, NODE_IP

CHUNK = 65536


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        inner_reader, inner_writer = await asyncio.open_connection(NODE_IP, API_PORT)
    except OSError:
        writer.close()
        return
    try:
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))
    finally:
        writer.close()
        inner_writer.close()


async def serve(host: socket.socket) -> None:
    """Listen on the host and, at the same address, inside the cluster: one kubeconfig is right in both."""
    inside = socket.create_server(host.getsockname())
    servers = [await asyncio.start_server(forward, sock=listener) for listener in (host, inside)]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(serve(socket.socket(fileno=int(sys.argv[1]))))
