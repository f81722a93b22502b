"""Runs a command that serves on port 8080 in a network namespace of its own, visits it, and interrupts it.

`unshare --net python alone.py 'COMMAND'` prints what the server answered; exit code 0 when it served and
ended after one Ctrl-C. The port of the README can be taken on the machine of the tests.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request

URL = "http://127.0.0.1:8080"
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def visit(process: subprocess.Popen[bytes]) -> bytes:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(URL, timeout=60) as answer:
                return answer.read()
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    sys.exit(f"not served within 60 s, exit code {process.poll()}")


def main() -> None:
    loopback_up()
    process = subprocess.Popen(["bash", "-c", sys.argv[1]], start_new_session=True, stdout=sys.stderr)
    try:
        sys.stdout.buffer.write(visit(process))
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        process.wait(60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    try:
        urllib.request.urlopen(URL, timeout=60)
    except (urllib.error.URLError, OSError):
        return
    sys.exit("still served after Ctrl-C")


if __name__ == "__main__":
    main()
