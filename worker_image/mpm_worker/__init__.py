"""A single-node prefork/threaded WSGI server with a scoreboard in the manner of Apache httpd."""

from __future__ import annotations

__version__ = "0.1.0"
