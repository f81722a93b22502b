"""Become another program that ends when the parent ends, also when the parent is killed with -9.

Run as a script: `launch.py PARENT_PID COMMAND...`. Not a `preexec_fn`: it runs Python between fork and exec.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h; it survives an exec


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    # TERM and not KILL: the requests that run are still answered, then the pod is gone.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the line above
        sys.exit(0)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
