"""The command `mpm-worker`: holds signals back, then loads the rest.

Process 1 of a container loses a TERM for which it has no handler yet, and its pod then stays until the
kubelet kills it. Held back from the first line on, the signal is there once the supervisor listens.
"""

from __future__ import annotations

import signal

HELD = (signal.SIGTERM, signal.SIGWINCH, signal.SIGHUP, signal.SIGUSR1)


def main() -> None:
    """Run the worker; ends the process with the exit code of the contract."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
    from mpm_worker.command import run

    run()


if __name__ == "__main__":
    main()
