"""`mpm-operator`: the process."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .operator import Operator
from .options import options

if TYPE_CHECKING:
    from .options import Options


class JSONFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_to_stderr(form: str, level: str) -> None:
    """Set up logging; of kopf only what is wrong is of interest."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JSONFormatter() if form == "json" else text)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("kopf", "urllib3", "aiohttp", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


def main() -> None:
    chosen, args = options(sys.argv[1:], os.environ)
    log_to_stderr(args.log_format, args.log_level)
    sys.exit(0 if asyncio.run(_run(chosen)) else 1)


async def _run(chosen: Options) -> bool:
    return await Operator(chosen).run()
