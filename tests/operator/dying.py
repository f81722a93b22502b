"""An operator that is killed at one step of a scale-in: `dying.py STEP OPTIONS…`.

The process is the real one and ends as by `kill -9`, in the middle of what it does.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from mpm_operator.kube import main
from mpm_operator.kube.execute import Executor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Call = Callable[..., Awaitable[None]]

STEPS = ("quiesced", "out of the endpoints", "drained", "marked", "lowered")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def after(call: Call, concerns: Callable[..., bool]) -> Call:
    async def called(*arguments: Any, **more: Any) -> None:
        meant = concerns(*arguments)
        await call(*arguments, **more)
        if meant:
            die()

    return called


def before(call: Call, concerns: Callable[..., bool]) -> Call:
    async def called(*arguments: Any, **more: Any) -> None:
        if concerns(*arguments):
            die()
        await call(*arguments, **more)

    return called


def out(executor: Executor, key: Any, owner: Any, secrets: Any, plan: Any) -> bool:
    return not plan.victims and any(victim.out_since is not None for victim in plan.memory.victims)


def marks(executor: Executor, key: Any, name: str, cost: int | None) -> bool:
    return cost is not None


def lowers(executor: Executor, key: Any, owner: Any, replicas: int) -> bool:
    return replicas < (executor.replicas(key) or 0)


def arm(step: str) -> None:
    faults: dict[str, Callable[[], None]] = {
        "quiesced": lambda: setattr(Executor, "quiesce", after(Executor.quiesce, lambda *_: True)),
        "out of the endpoints": lambda: setattr(Executor, "execute", before(Executor.execute, out)),
        "drained": lambda: setattr(Executor, "price", before(Executor.price, marks)),
        "marked": lambda: setattr(Executor, "price", after(Executor.price, marks)),
        "lowered": lambda: setattr(Executor, "scale", after(Executor.scale, lowers)),
    }
    faults[step]()


if __name__ == "__main__":
    arm(sys.argv.pop(1))
    main.main()
