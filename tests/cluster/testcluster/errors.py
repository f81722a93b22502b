"""What the driver says when it cannot go on."""

from __future__ import annotations


class ClusterError(Exception):
    """The sentence names what is wrong and what would mend it; the CLI prints it without a traceback."""
