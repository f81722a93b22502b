"""A small certificate authority: one certificate for each component, signed with openssl."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testcluster.shell import run

if TYPE_CHECKING:
    from pathlib import Path

DAYS = "30"


@dataclass(frozen=True)
class Identity:
    """What Kubernetes reads from a client certificate: CN is the user, O the group (x509 authentication)."""

    file: str
    user: str
    group: str = ""
    names: tuple[str, ...] = ()
    """subjectAltName entries, for those that also serve."""

    @property
    def subject(self) -> str:
        return (f"/O={self.group}" if self.group else "") + f"/CN={self.user}"


@dataclass(frozen=True)
class Authority:
    """Where the keys of one cluster are."""

    directory: Path

    @property
    def certificate(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def key(self) -> Path:
        return self.directory / "ca.key"

    def create(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True)
        self._request(
            "ca", "/CN=mpm-operator-test-cluster", ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        )
        run(["openssl", "genrsa", "-out", self.directory / "service-account.key", "2048"])

    def sign(self, identity: Identity) -> None:
        extensions = ["-addext", "basicConstraints=critical,CA:FALSE"]
        extensions += ["-addext", "extendedKeyUsage=clientAuth,serverAuth"]
        if identity.names:
            extensions += ["-addext", f"subjectAltName={','.join(identity.names)}"]
        signer = ["-CA", str(self.certificate), "-CAkey", str(self.key)]
        self._request(identity.file, identity.subject, [*signer, *extensions])

    def _request(self, file: str, subject: str, more: list[str]) -> None:
        outputs = ["-keyout", f"{self.directory}/{file}.key", "-out", f"{self.directory}/{file}.crt"]
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        run(["openssl", "req", "-x509", *curve, "-days", DAYS, "-subj", subject, *outputs, *more])

    def kubeconfig(self, file: str, server: str) -> str:
        """A kubeconfig that needs no other file, as JSON (which is YAML too)."""

        def inline(path: Path) -> str:
            return base64.b64encode(path.read_bytes()).decode()

        name = "mpm-operator-test"
        user = {
            "client-certificate-data": inline(self.directory / f"{file}.crt"),
            "client-key-data": inline(self.directory / f"{file}.key"),
        }
        cluster = {"server": server, "certificate-authority-data": inline(self.certificate)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
        return json.dumps(document, indent=2)
