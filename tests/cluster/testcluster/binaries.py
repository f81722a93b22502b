"""Kubernetes, etcd, Helm and the pause program, built from pinned Go modules into the cache.

A module's directory name holds a hash of its go.mod, go.sum and sources, so a changed pin is a new directory
and the old one stays usable by another checkout. A build goes to a directory of its own and is renamed when
it is whole: an interrupted one leaves nothing that looks finished.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import tempfile
import urllib.request
import zipfile
from dataclasses import dataclass
from functools import cache as memoize
from pathlib import Path

from testcluster import places
from testcluster.errors import ClusterError
from testcluster.shell import locked, run

GO_VERSION = "1.26.8"
"""Fetched only where `go` is missing or too old for the pinned modules."""

GO_SHA256 = {
    "linux-amd64": "30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7",
    "linux-arm64": "02b36b6787b3ac767668f630e2998df45a3b1f9ffee08d1bf3ef6487cd658d99",
}


@dataclass(frozen=True)
class Module:
    """One directory under binaries/."""

    name: str
    pin: str
    """The required module whose version names the build; empty for a module without requirements."""
    programs: tuple[str, ...]
    renamed: tuple[str, str] = ("", "")
    """A program that `go build` names after its import path, and the name it should have."""

    @property
    def sources(self) -> Path:
        return places.SOURCES / "binaries" / self.name

    @property
    def version(self) -> str:
        if not self.pin:
            return "v0"
        found = re.search(rf"\b{re.escape(self.pin)} (v\S+)", (self.sources / "go.mod").read_text())
        if not found:
            raise ClusterError(f"{self.sources}/go.mod: no version of {self.pin}")
        return found[1]

    @property
    def directory(self) -> Path:
        digest = hashlib.sha256(GO_VERSION.encode())
        for file in sorted(self.sources.iterdir()):
            digest.update(file.read_bytes())
        return places.cache() / "bin" / f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"


KUBERNETES = Module(
    "kubernetes",
    "k8s.io/kubernetes",
    ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet"),
)
ETCD = Module("etcd", "go.etcd.io/etcd/server/v3", ("etcd",), renamed=("server", "etcd"))
HELM = Module("helm", "helm.sh/helm/v4", ("helm",))
PAUSE = Module("pause", "", ("pause",))
MODULES = (PAUSE, ETCD, KUBERNETES, HELM)
METRICS_SERVER = Module("metrics-server", "sigs.k8s.io/metrics-server", ("metrics-server",))
"""For the benchmark beside an HPA alone: built when it asks, and not by `tools`."""
NETDATA = Module("netdata-apache", "", ("netdata-apache",))
"""Netdata's reader of scoreboards, which Debian's netdata leaves out: built when its test asks."""


def program(name: str) -> Path:
    """Path of a built program, whether it is built yet or not."""
    module = next(module for module in MODULES if name in module.programs)
    return module.directory / name


def ensure(*modules: Module) -> None:
    """Build what is not in the cache: minutes the first time, nothing afterwards."""
    if all(module.directory.is_dir() for module in modules):
        return
    with locked(places.cache() / "bin.lock"):
        for module in modules:
            if not module.directory.is_dir():
                build(module)


def build(module: Module) -> None:
    """`go build` of all tools of a module, at low priority, into the cache."""
    print(f"cluster: building {module.name} {module.version} (once; kept in {places.cache()})", flush=True)
    module.directory.parent.mkdir(parents=True, exist_ok=True)
    target = "tool" if module.pin else "."
    with tempfile.TemporaryDirectory(dir=module.directory.parent, prefix="building-") as temporary:
        output = Path(temporary) / "bin"
        env = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
        flags = ["-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", linker_flags(module)]
        run(["nice", go(), "build", *flags, "-o", f"{output}/", target], cwd=module.sources, env=env)
        if module.renamed[0]:
            (output / module.renamed[0]).rename(output / module.renamed[1])
        output.rename(module.directory)


def linker_flags(module: Module) -> str:
    """Without symbols; Kubernetes gets its version, which it would otherwise report as v0.0.0-master."""
    if module is not KUBERNETES:
        return "-s -w"
    major, minor, _ = module.version.removeprefix("v").split(".", 2)
    stamp = {"gitVersion": module.version, "gitMajor": major, "gitMinor": minor}
    return "-s -w " + " ".join(
        f"-X k8s.io/component-base/version.{key}={value}" for key, value in stamp.items()
    )


@memoize
def go() -> Path:
    """A Go that can build the modules: the machine's own, else the toolchain from the Go module proxy."""
    local = shutil.which("go")
    if local:
        version = re.search(r"go(\d+)\.(\d+)", run([local, "version"]))
        needed = re.match(r"(\d+)\.(\d+)", GO_VERSION)
        if version and needed and tuple(map(int, version.groups())) >= tuple(map(int, needed.groups())):
            return Path(local)
    return fetch_go()


def fetch_go() -> Path:
    """Unpack the pinned Go toolchain into the cache; its checksum is part of this file."""
    machine = {"x86_64": "linux-amd64", "aarch64": "linux-arm64"}.get(platform.machine())
    if machine is None:
        raise ClusterError(f"no Go toolchain is pinned for {platform.machine()}: install go >= {GO_VERSION}")
    name = f"v0.0.1-go{GO_VERSION}.{machine}"
    directory = places.cache() / "go" / name
    if not directory.is_dir():
        directory.parent.mkdir(parents=True, exist_ok=True)
        print(f"cluster: fetching the Go {GO_VERSION} toolchain", flush=True)
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix="fetching-") as temporary:
            archive = Path(temporary) / "go.zip"
            urllib.request.urlretrieve(
                f"https://proxy.golang.org/golang.org/toolchain/@v/{name}.zip", archive
            )
            if hashlib.sha256(archive.read_bytes()).hexdigest() != GO_SHA256[machine]:
                raise ClusterError(f"{name}.zip from the Go module proxy has another checksum than pinned")
            unpack(archive, Path(temporary))
            (Path(temporary) / f"golang.org/toolchain@{name}").rename(directory)
    return directory / "bin" / "go"


def unpack(archive: Path, target: Path) -> None:
    """Unzip, and make the programs executable: module archives carry no modes."""
    with zipfile.ZipFile(archive) as files:
        files.extractall(target)
    for folder in ("bin", "pkg/tool"):
        for file in target.glob(f"golang.org/*/{folder}/**/*"):
            file.chmod(0o755)
