"""The example's Containerfile makes an image in which its application is found, by the user of the image."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest
from testcluster import fixtures, images, places
from testcluster.shell import locked, run

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]  # needs root and buildah

EXAMPLE = Path(__file__).parents[2] / "examples" / "flask"
NAME = "localhost/mpm-example-flask:test"


def test_the_example_builds_and_finds_its_application() -> None:
    fixtures.skip_without_root()
    images.ensure()
    with tempfile.TemporaryDirectory() as wheels, locked(places.cache() / "images.lock"):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"]
        pip += [f"--python-version={images.PYTHON}", "--implementation=cp"]
        machine = images.platform.machine()
        pip += [f"--platform=manylinux_2_{minor}_{machine}" for minor in (36, 28, 17, 12, 5)]
        run([*pip, "--dest", wheels, "--requirement", EXAMPLE / "requirements.txt"])
        images.buildah(
            "build",
            "--pull-never",
            "--isolation=chroot",
            f"--build-arg=WORKER={images.WORKER}",
            "--build-arg=PIP_OPTIONS=--no-index --find-links=/wheels",
            f"--volume={wheels}:/wheels:ro",
            f"--tag={NAME}",
            EXAMPLE,
        )
        container = images.buildah("from", "--pull-never", NAME).strip()
        try:
            inside = ["run", "--isolation=chroot", container, "--"]
            images.buildah(*inside, "mpm-worker", "--check-config", "guestbook:application")
            assert images.buildah(*inside, "id", "-u").strip() == "65532"
        finally:
            images.buildah("rm", container)
            images.buildah("rmi", NAME)
