"""Certificates for tests, made by openssl."""

from __future__ import annotations

import os
import ssl
import subprocess
from typing import TYPE_CHECKING

from testcluster import packages

if TYPE_CHECKING:
    from pathlib import Path

TLS = {"openssl": "/usr/bin/openssl"}


def make_certificate(folder: Path, name: str = "localhost") -> tuple[str, str]:
    """A chain and a key, put where they were in one step each."""
    packages.ensure(TLS, "the tests of HTTPS")
    folder.mkdir(exist_ok=True)
    certificate, key = folder / "tls.crt", folder / "tls.key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-utf8",
    ]
    command += ["-days", "30", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    new = [f"{certificate}.new", f"{key}.new"]
    subprocess.run([*command, "-out", new[0], "-keyout", new[1]], check=True, capture_output=True, timeout=60)
    os.replace(new[1], key)
    os.replace(new[0], certificate)
    return str(certificate), str(key)


def client_context(certificate: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)
