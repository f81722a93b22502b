"""The API server as the soak sees it: watches that survive its outages, and the few writes the soak makes."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from testcluster.api import Api

Object = dict[str, Any]

_SILENCE_SECONDS = 20.0
_AGAIN_SECONDS = 0.3


class Watch(threading.Thread):
    """Tells `hear(kind, object)` of all at `path`: ADDED, MODIFIED, DELETED; ADDED again after a gap."""

    def __init__(self, api: Api, path: str, hear: Callable[[str, Object], None], selector: str = "") -> None:
        super().__init__(daemon=True)
        self._api, self._path, self._hear = api, path, hear
        self._query = f"labelSelector={selector}&" if selector else ""
        self._there: dict[str, Object] = {}
        self._ended = False
        self.start()

    def end(self) -> None:
        self._ended = True

    def run(self) -> None:
        while not self._ended:
            try:
                self._follow(self._list())
            except (OSError, ValueError, http.client.HTTPException):
                time.sleep(_AGAIN_SECONDS)

    def _list(self) -> str:
        listing = self._api.get(f"{self._path}?{self._query}")
        found = {item["metadata"]["uid"]: item for item in listing["items"]}
        for uid in set(self._there) - set(found):
            self._hear("DELETED", self._there.pop(uid))
        for uid, item in found.items():
            self._there[uid] = item
            self._hear("ADDED", item)
        version: str = listing["metadata"]["resourceVersion"]
        return version

    def _follow(self, version: str) -> None:
        url = f"{self._api.server}{self._path}?{self._query}watch=1&resourceVersion={version}"
        with urllib.request.urlopen(url, context=self._api.context, timeout=_SILENCE_SECONDS) as stream:
            for line in stream:
                if self._ended:
                    return
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                uid = event["object"]["metadata"]["uid"]
                if event["type"] == "DELETED":
                    self._there.pop(uid, None)
                else:
                    self._there[uid] = event["object"]
                self._hear(event["type"], event["object"])


def patch(api: Api, path: str, change: Object, kind: str = "application/merge-patch+json") -> Object:
    """Patch the object at `path`; OSError with the server's words when it refuses."""
    request = urllib.request.Request(
        api.server + path,
        json.dumps(change).encode(),
        {"Content-Type": kind},
        method="PATCH",
    )
    try:
        with urllib.request.urlopen(request, context=api.context, timeout=10) as answer:
            changed: Object = json.load(answer)
    except urllib.error.HTTPError as error:
        raise OSError(f"PATCH {path}: {error.code} {error.read()[:500].decode()}") from error
    return changed
