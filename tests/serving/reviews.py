"""The part of an API server that says who somebody is and what he may, for tests without a cluster."""

from __future__ import annotations

import threading
import time
from typing import Any

from api_server import Answers


class Reviews(Answers):
    """Knows two users: `reader`, who may get WebServers, and `stranger`, who may not."""

    asked, under_way, most_at_once = 0, 0, 0
    lock = threading.Lock()

    def do_POST(self) -> None:
        with Reviews.lock:
            Reviews.asked += 1
            Reviews.under_way += 1
            Reviews.most_at_once = max(Reviews.most_at_once, Reviews.under_way)
        time.sleep(0.01)
        self.review()
        with Reviews.lock:
            Reviews.under_way -= 1

    def review(self) -> None:
        spec = self.document()["spec"]
        if "tokenreviews" in self.path:
            known = spec["token"] in ("reader", "stranger")
            status: dict[str, Any] = {"authenticated": known, "user": {"username": spec["token"]}}
        else:
            attributes = spec["resourceAttributes"]
            allowed = spec["user"] == "reader" and attributes["verb"] == "get"
            status = {"allowed": allowed and attributes["name"] in ("shop", "nobody")}
        self.answer(201, {"status": status})
