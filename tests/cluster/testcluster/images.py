"""The images of the tests: built by buildah from the project's own Containerfiles, without a registry.

Four steps, each done only when its inputs changed: a base made of Debian packages, the wheels of the
dependencies, the images, and their import into a running cluster. The finished images lie in one OCI layout,
so that what they share is stored and sent once.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testcluster import binaries, places
from testcluster.components import PAUSE_IMAGE
from testcluster.errors import ClusterError
from testcluster.shell import locked, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SUITE = "bookworm"
PYTHON = "3.11"
"""Python of that Debian suite: the wheels are for it, whichever Python runs this program."""

MIRROR = "http://deb.debian.org/debian"
PACKAGES = "python3,python3-pip"
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
REMOVED = 'cd "$1" && rm -rf usr/share/perl usr/lib/*/perl usr/lib/*/gconv var/cache/debconf'
"""Large, and used while packages are set up, but not by Python."""

WORKER = "localhost/mpm-worker:test"
OPERATOR = "localhost/mpm-operator:test"

SOURCES = ("pyproject.toml", "README.md", "LICENSE", ".containerignore", "operator", "worker_image")
"""What goes into the images; .containerignore lets nothing else through."""


@dataclass(frozen=True)
class Image:
    """A finished image in the OCI layout."""

    name: str
    digest: str
    """Of its manifest, for example sha256:9f86…"""


def directory() -> Path:
    return places.cache() / "images"


def layout() -> Path:
    return directory() / "layout"


def ensure() -> list[Image]:
    """The images of the present sources, built where they are not in the cache."""
    with locked(places.cache() / "images.lock"):
        directory().mkdir(parents=True, exist_ok=True)
        base_name = base()
        sources = digest_of(*read_sources())
        found = [pause()]
        for name, containerfile in ((WORKER, "worker_image"), (OPERATOR, "operator")):
            key = digest_of(base_name, sources, name)
            file = places.PROJECT / containerfile / "Containerfile"
            found.append(cached(name, key, partial(from_project, file, base_name)))
        return found


def read_sources() -> Iterable[bytes]:
    """Names and contents of everything the images are made of."""
    for source in SOURCES:
        path = places.PROJECT / source
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                yield str(file.relative_to(places.PROJECT)).encode()
                yield file.read_bytes()


def digest_of(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


def cached(name: str, key: str, build: Callable[[], list[str | Path]]) -> Image:
    """The image `name` for `key`, from the layout; else `buildah build` with what `build` returns."""
    record = directory() / f"{name.replace('/', '_')}@{key}"
    if not record.exists():
        print(f"cluster: building {name}", flush=True)
        arguments = build()
        buildah("build", "--layers", "--pull-never", "--tag", name, *arguments)
        with tempfile.TemporaryDirectory() as temporary:
            written = Path(temporary) / "digest"
            # zstd: half of gzip's time, which is most of what a push takes.
            compression = ["--compression-format=zstd", "--compression-level=1"]
            push = ["push", "--quiet", *compression, "--format=oci", f"--digestfile={written}"]
            buildah(*push, name, f"oci:{layout()}:{key}")
            temporary_record = record.with_suffix(".new")
            temporary_record.write_text(written.read_text().strip())
        temporary_record.rename(record)
    return Image(name, record.read_text())


def pause() -> Image:
    program = binaries.program("pause")
    containerfile = places.SOURCES / "images" / "pause.Containerfile"
    key = digest_of(containerfile.read_bytes(), str(program))
    return cached(PAUSE_IMAGE, key, lambda: ["--file", containerfile, program.parent])


def base() -> str:
    """Name of the base image in buildah's store: essential Debian, Python and pip."""
    containerfile = places.SOURCES / "images" / "base.Containerfile"
    key = digest_of(SUITE, PACKAGES, *LEFT_OUT, REMOVED, containerfile.read_bytes())
    name = f"localhost/mpm-test-base:{key}"

    def arguments() -> list[str | Path]:
        context = directory() / "base"
        context.mkdir(exist_ok=True)
        excluded = [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
        include = ["--variant=essential", f"--include={PACKAGES}"]
        removed = f"--customize-hook={REMOVED}"
        run(["nice", "mmdebstrap", *include, *excluded, removed, SUITE, context / "base.tar", MIRROR])
        return ["--file", containerfile, context]

    cached(name, key, arguments)
    return name


def from_project(containerfile: Path, base_name: str) -> list[str | Path]:
    """Arguments that build one of the project's images without a network."""
    return [
        "--isolation=chroot",
        f"--build-arg=BASE={base_name}",
        "--build-arg=PIP_OPTIONS=--no-index --find-links=/wheels",
        "--build-arg=COMPILER=",
        f"--volume={wheels()}:/wheels:ro",
        f"--file={containerfile}",
        places.PROJECT,
    ]


def wheels() -> Path:
    """Directory with the wheels of all dependencies and of the build backend, for the base's Python."""
    file = places.PROJECT / "pyproject.toml"
    document = tomllib.loads(file.read_text())
    wanted = requirements(document)
    target = directory() / f"wheels-{digest_of(PYTHON, platform.machine(), *wanted)}"
    if not target.is_dir():
        print("cluster: fetching wheels", flush=True)
        machine = platform.machine()
        platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in (36, 28, 17, 12, 5)]
        options = ["--quiet", "--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON}"]
        with tempfile.TemporaryDirectory(dir=directory()) as temporary:
            pip = [sys.executable, "-m", "pip", "download", *options, *platforms]
            run([*pip, "--dest", f"{temporary}/wheels", *wanted])
            Path(temporary, "wheels").rename(target)
    return target


def requirements(document: dict[str, Any]) -> list[str]:
    """What pyproject.toml asks for at build and run time, without [dev] and without the project itself."""
    project = document["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *document["build-system"]["requires"],
        *project["dependencies"],
        *extras["cli"],
        *extras["operator"],
    ]
    return [requirement for requirement in wanted if not requirement.startswith(f"{project['name']}[")]


def buildah(*arguments: str | Path) -> str:
    """Run buildah on a store of our own.

    In a mount and process namespace of its own it leaves neither mounts nor processes when it is killed. The
    run root counts mounts, so it has to go with them: a tmpfs inside the namespace.
    """
    store = places.cache() / "buildah"
    run_root = store / "run"
    run_root.mkdir(parents=True, exist_ok=True)
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    mounted = ["sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@"', str(run_root)]
    options = [f"--root={store}/root", f"--runroot={run_root}", "--storage-driver=overlay"]
    command = [*namespaces, *mounted, "nice", "buildah", *options, *arguments]
    return run(command, env={**os.environ, "BUILDAH_ISOLATION": "chroot"}, cwd=places.PROJECT)


def load(enter: list[str], images: list[Image]) -> None:
    """Import images into the containerd that `enter` leads to, without the layers it has."""
    ctr = [*enter, "/usr/bin/ctr", "--namespace=k8s.io"]
    there = set(run([*ctr, "content", "list", "--quiet"]).split())
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [*ctr, "images", "import", "-"], stdin=subprocess.PIPE, stdout=output, stderr=output
        )
        assert process.stdin
        try:
            with process.stdin, tarfile.open(fileobj=process.stdin, mode="w|") as archive:
                write_archive(archive, images, there)
        except BrokenPipeError:
            pass  # ctr has ended; what it said follows
        if process.wait():
            output.seek(0)
            raise ClusterError(f"ctr images import: {output.read().decode(errors='replace')}")


def write_archive(archive: tarfile.TarFile, images: list[Image], there: set[str]) -> None:
    """An OCI image layout (image-spec, image-layout.md) of these images, less the layers `there`."""
    add_text(archive, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}))
    entries, digests = [], set()
    for image in images:
        manifest = blob(image.digest).read_bytes()
        parsed = json.loads(manifest)
        layers = {layer["digest"] for layer in parsed["layers"]}
        digests |= {image.digest, parsed["config"]["digest"], *(layers - there)}
        entries.append(
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": image.digest,
                "size": len(manifest),
                "annotations": {"io.containerd.image.name": image.name},
            }
        )
    add_text(archive, "index.json", json.dumps({"schemaVersion": 2, "manifests": entries}))
    for digest in sorted(digests):
        archive.add(blob(digest), f"blobs/{digest.replace(':', '/')}")


def blob(digest: str) -> Path:
    return layout() / "blobs" / digest.replace(":", "/")


def add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode()
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))
