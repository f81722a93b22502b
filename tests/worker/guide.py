"""Follows the guide of the worker in the present folder: `unshare --net python guide.py PAGE`.

Blocks of commands marked `run` must succeed; `serve` is started and serves until the next one; of `ask` each
line must succeed and say what stands behind its `#`. In a network namespace of its own the ports are free.
"""

from __future__ import annotations

import fcntl
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

BLOCK = re.compile(r"<!-- test: (run|serve|ask) -->\n```sh\n(.*?)```", re.DOTALL)
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


class Server:
    """One `serve` block."""

    def __init__(self, commands: str) -> None:
        self.process = subprocess.Popen(["bash", "-c", f"exec {commands}"], stderr=subprocess.PIPE, text=True)
        self.said = ""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        end = time.monotonic() + 60
        while "listening on" not in self.said:
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"{commands}does not serve: {self.said}")
            time.sleep(0.02)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(60) != 0:
            sys.exit(f"ended with {self.process.returncode}: {self.said}")


def ask(line: str) -> None:
    command, _, wanted = line.partition("# ")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    if done.returncode or wanted.strip() not in done.stdout:
        sys.exit(f"{line}\nends with {done.returncode} and says\n{done.stdout}{done.stderr}")
    print(line)


def main() -> None:
    loopback_up()
    server: Server | None = None
    for kind, commands in BLOCK.findall(Path(sys.argv[1]).read_text()):
        if kind == "run":
            subprocess.run(["bash", "-ec", commands], check=True, timeout=60)
        elif kind == "ask":
            for line in commands.splitlines():
                ask(line)
        else:
            if server is not None:
                server.end()
            server = Server(commands)
    if server is not None:
        server.end()


if __name__ == "__main__":
    main()
