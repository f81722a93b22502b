"""A blocking WSGI application: every request holds its thread for 50 ms while the CPU idles."""

import time


def application(environ, start_response):
    """Wait, as for a database, and answer."""
    time.sleep(0.05)
    body = b"It works.\n"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
