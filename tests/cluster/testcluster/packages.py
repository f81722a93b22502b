"""The Debian packages the cluster runs on, installed when they are missing."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from testcluster import places
from testcluster.errors import ClusterError
from testcluster.shell import locked, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROBES = {
    "ca-certificates": "/etc/ssl/certs/ca-certificates.crt",
    "buildah": "/usr/bin/buildah",
    "conntrack": "/usr/sbin/conntrack",
    "containerd": "/usr/bin/containerd",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "iproute2": "/usr/sbin/ip",
    "mmdebstrap": "/usr/bin/mmdebstrap",
    "nftables": "/usr/sbin/nft",
    "openssl": "/usr/bin/openssl",
    "runc": "/usr/sbin/runc",
    "util-linux": "/usr/bin/nsenter",
    "wrk": "/usr/bin/wrk",
}
"""A file of each package: looking for it costs nothing, where asking dpkg costs half a second."""

POLICY = Path("/usr/sbin/policy-rc.d")


AGENTS = {
    "apache2": "/usr/lib/apache2/modules/mod_status.so",
    "collectd-core": "/usr/lib/collectd/apache.so",
    "libcurl3-gnutls": "/usr/lib/x86_64-linux-gnu/libcurl-gnutls.so.4",
    "libwww-perl": "/usr/share/perl5/LWP/UserAgent.pm",
    "munin-plugins-core": "/usr/share/munin/plugins/apache_processes",
    "prometheus": "/usr/bin/promtool",
    "prometheus-apache-exporter": "/usr/bin/prometheus-apache-exporter",
}
"""What reads a scoreboard in the field, and httpd to compare with; collectd only recommends its libcurl."""


def missing(probes: Mapping[str, str] = PROBES) -> list[str]:
    return [package for package, probe in probes.items() if not Path(probe).exists()]


def ensure(probes: Mapping[str, str] = PROBES, who: str = "the test cluster") -> None:
    """Install what is missing. Needs root and apt; does nothing when all is there.

    Whoever else installs just then is awaited: its packages show their files before they can be used.
    """
    with locked(places.cache() / "apt.lock"):
        if packages := missing(probes):
            install(packages, who)
    if packages := missing(probes):
        raise ClusterError(f"installed, but their files are not where Debian puts them: {packages}")


def install(packages: list[str], who: str) -> None:
    by_hand = f"apt-get install --no-install-recommends {' '.join(packages)}"
    if os.geteuid() or not shutil.which("apt-get"):
        raise ClusterError(f"{who} needs these Debian packages; as root: {by_hand}")
    print(f"cluster: installing {' '.join(packages)}", flush=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "--quiet", "--option", "DPkg::Lock::Timeout=300", "--option", "Acquire::Retries=3"]
    with no_daemons():
        run([*apt, "update"], env=env)
        run([*apt, "install", "--yes", "--no-install-recommends", *packages], env=env)


@contextmanager
def no_daemons() -> Iterator[None]:
    """Keep packages from starting daemons (exit code 101 of policy-rc.d forbids it; Debian Policy 9.3.3)."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
