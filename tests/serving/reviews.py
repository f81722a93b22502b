"""The part of an API server that says who somebody is and what he may, for tests without a cluster."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Reviews(BaseHTTPRequestHandler):
    """Knows two users: `reader`, who may get WebServers, and `stranger`, who may not."""

    asked, under_way, most_at_once = 0, 0, 0
    lock = threading.Lock()

    def do_POST(self) -> None:
        with Reviews.lock:
            Reviews.asked += 1
            Reviews.under_way += 1
            Reviews.most_at_once = max(Reviews.most_at_once, Reviews.under_way)
        time.sleep(0.01)
        self.answer()
        with Reviews.lock:
            Reviews.under_way -= 1

    def answer(self) -> None:
        spec = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["spec"]
        if "tokenreviews" in self.path:
            known = spec["token"] in ("reader", "stranger")
            status: dict[str, Any] = {"authenticated": known, "user": {"username": spec["token"]}}
        else:
            attributes = spec["resourceAttributes"]
            allowed = spec["user"] == "reader" and attributes["verb"] == "get"
            status = {"allowed": allowed and attributes["name"] in ("shop", "nobody")}
        text = json.dumps({"status": status}).encode()
        self.send_response(201)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[str]:
    """Its address, while it runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Reviews)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
