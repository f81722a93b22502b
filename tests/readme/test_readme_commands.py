"""Every command of the README does what it is there for."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blocks import ROOT, blocks
from testcluster import binaries, definition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testcluster.cluster import Cluster

README = blocks("README.md")
LOCAL = [command for block in README if block.how == "local" for command in block.commands]
CLUSTER = [command for block in README if block.how == "cluster" for command in block.commands]
ANSWERS = {"make run": b"It works.\n", "mpm run examples/configmap.yaml": b"Hello from a ConfigMap.\n"}


def test_no_command_is_left_out() -> None:
    assert [block for block in README if block.how not in ("local", "images", "cluster", "itself")] == []
    assert LOCAL
    assert CLUSTER


@pytest.mark.parametrize("command", LOCAL)
def test_it_serves_on_this_machine_until_ctrl_c(command: str) -> None:
    (answer,) = (answer for end, answer in ANSWERS.items() if command.endswith(end))
    # What make would install stands ready: the tests run in it, and the namespace has no network.
    command = command.replace("make ", "make -o .venv/.run-installed ")
    own_network = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    alone = str(Path(__file__).with_name("alone.py"))
    ended = subprocess.run(
        [*own_network, sys.executable, alone, command],
        cwd=ROOT,
        capture_output=True,
        timeout=200,
        check=False,
    )
    if ended.stderr.startswith(b"unshare: "):
        pytest.skip(f"no network namespace for this user: {ended.stderr.decode()}")
    assert (ended.returncode, ended.stdout) == (0, answer), ended.stderr.decode()


def test_the_images_are_those_that_the_chart_asks_for() -> None:
    """Built by the same files for every test on a cluster; here their names."""
    commands = [shlex.split(line) for block in README if block.how == "images" for line in block.commands]
    files = {words[words.index("--tag") + 1]: words[words.index("--file") + 1] for words in commands[:2]}
    assert [words[1:] for words in commands[2:]] == [["push", name] for name in files]
    assert all((ROOT / file).is_file() for file in files.values())
    helm = binaries.program("helm")
    if not helm.exists():
        pytest.skip("helm is built by `make cluster-tools`")
    argv = [helm, "template", "mpm", ROOT / "charts/mpm-operator", "--set=image.registry=REGISTRY"]
    made = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
    assert set(re.findall(r"REGISTRY/[\w./:-]+", made)) == set(files)


@pytest.fixture
def shell(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Runs a command as a user with kubectl and helm would; what it left is taken away."""
    for tool in ("kubectl", "helm"):
        (tmp_path / tool).symlink_to(binaries.program(tool))
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "KUBECONFIG": str(cluster.kubeconfig),
        "HELM_CACHE_HOME": str(tmp_path / "helm"),
    }

    def run(command: str) -> str:
        ended = subprocess.run(
            ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    definition.withdraw(cluster)
    yield run
    run("kubectl delete webservers --all --wait=true")
    run("helm uninstall mpm-operator --namespace mpm-system --ignore-not-found --wait")


def _with_this_checkout(command: str, cluster: Cluster) -> str:
    """Let `helm install` take the images of this checkout: those of the chart are the released ones."""
    if not command.startswith("helm install"):
        return command
    images = {"image": cluster.operator_image, "workerImage": cluster.worker_image}
    for name, image in images.items():
        repository, _, tag = image.rpartition(":")
        command += f" --set={name}.repository={repository},{name}.tag={tag}"
    return command


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_the_quick_start_ends_with_a_web_server_that_is_ready(
    cluster: Cluster, shell: Callable[[str], str]
) -> None:
    outputs = [shell(_with_this_checkout(command, cluster)) for command in CLUSTER]
    header, line = outputs[-1].splitlines()
    assert header.split()[:2] == ["NAME", "READY"]
    assert line.split()[:2] == ["hello", "True"]


def test_make_test_runs_everything() -> None:
    (command,) = (command for block in README if block.how == "itself" for command in block.commands)
    steps = subprocess.run(
        [*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "pytest" in steps
    assert command in (ROOT / ".ci/run").read_text()
