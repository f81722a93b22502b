"""The few requests the driver itself makes of the API server; tests use kubectl or a client of their own."""

from __future__ import annotations

import json
import ssl
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testcluster.certificates import Authority


@dataclass(frozen=True)
class Api:
    server: str
    authority: Authority

    @cached_property
    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        directory = self.authority.directory
        context.load_cert_chain(str(directory / "admin.crt"), str(directory / "admin.key"))
        return context

    def get(self, path: str) -> dict[str, Any]:
        """The object at `path`; OSError when the server refuses or cannot be reached (HTTPError is one)."""
        with urllib.request.urlopen(self.server + path, context=self.context, timeout=5) as response:
            found: dict[str, Any] = json.load(response)
        return found

    def ready(self, node: str) -> str:
        """Empty when a pod could run now, else what is missing."""
        try:
            conditions = self.get(f"/api/v1/nodes/{node}")["status"].get("conditions", [])
            if not any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
                return f"node {node} is not Ready"
            self.get("/api/v1/namespaces/default/serviceaccounts/default")
            self.get("/api/v1/namespaces/default/configmaps/kube-root-ca.crt")
        except OSError as error:
            return str(error)
        return ""
