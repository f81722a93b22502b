"""A running cluster as tests see it: kubectl, helm, and programs in its network."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from testcluster import binaries, images, lifecycle, processes
from testcluster.components import NODE
from testcluster.errors import ClusterError
from testcluster.shell import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

NAMESPACE_DEADLINE = 30.0
"""Seconds for the controllers to put the default ServiceAccount into a new namespace."""


@dataclass(frozen=True)
class Cluster:
    """Either a cluster of this package (`site`) or somebody's own, known by its kubeconfig alone."""

    kubeconfig: Path
    """Right on the host and in the cluster's network, for every client that reads a kubeconfig."""
    node: str
    site: lifecycle.Site | None = None
    worker_image: str = images.WORKER
    operator_image: str = images.OPERATOR

    @classmethod
    def at(cls, site: lifecycle.Site) -> Cluster:
        site.enter()  # an error when it does not run
        return cls(site.kubeconfig, NODE, site)

    @classmethod
    def existing(cls, kubeconfig: Path) -> Cluster:
        """A cluster we did not start; it must be able to pull the two images that the environment names."""
        if not kubeconfig.is_file():
            raise ClusterError(f"MPM_TEST_KUBECONFIG: {kubeconfig} is not a file")
        found = cls(
            kubeconfig,
            node="",
            worker_image=os.environ.get("MPM_TEST_WORKER_IMAGE", images.WORKER),
            operator_image=os.environ.get("MPM_TEST_OPERATOR_IMAGE", images.OPERATOR),
        )
        node = found.kubectl("get", "nodes", "--output=jsonpath={.items[0].metadata.name}")
        return cls(kubeconfig, node, None, found.worker_image, found.operator_image)

    @property
    def helm_program(self) -> Path:
        return binaries.program("helm")

    def kubectl(self, *arguments: str, input: str | None = None, timeout: float = 60) -> str:
        """Standard output of `kubectl ARGUMENTS`; a ClusterError with its words when it fails. Seconds."""
        program = [str(binaries.program("kubectl")), f"--kubeconfig={self.kubeconfig}"]
        return run([*program, *arguments], input=input, timeout=timeout)

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get ARGUMENTS --output=json`, parsed."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "--output=json"))
        return found

    def apply(self, *objects: dict[str, Any], namespace: str = "default") -> str:
        """Server-side apply of objects given as dicts."""
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        return self.kubectl(
            "apply", "--server-side", f"--namespace={namespace}", "--filename=-", input=document
        )

    def helm(self, *arguments: str, timeout: float = 300) -> str:
        return run([self.helm_program, "--kubeconfig", self.kubeconfig, *arguments], timeout=timeout)

    def in_network(self, argv: Sequence[str | Path]) -> list[str]:
        """argv that runs a program where pods and ClusterIPs can be reached; all else is the host's."""
        entry = self.site.enter("net") if self.site else []
        return [*entry, *(str(word) for word in argv)]

    def run(
        self, argv: Sequence[str | Path], *, timeout: float = 60, env: Mapping[str, str] | None = None
    ) -> str:
        """Output of a program that runs in the cluster's network and exits 0. Seconds; `env` is added."""
        return run(self.in_network(argv), env=self.environment(env or {}), timeout=timeout)

    def popen(
        self, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[Any]:
        """A program in the cluster's network, for example a load generator.

        `env` is added to this process's environment; the other options are Popen's. The pid is the program's.
        """
        return subprocess.Popen(self.in_network(argv), env=self.environment(env or {}), **options)

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """With the mark by which `down` finds what was started in the cluster's network."""
        mark = {processes.MARK: str(self.site.run)} if self.site else {}
        return {**os.environ, **more, **mark}

    def create_namespace(self, name: str) -> None:
        """And wait for its ServiceAccount: before it is there, pods are refused."""
        self.kubectl("create", "namespace", name)
        deadline = time.monotonic() + NAMESPACE_DEADLINE
        while not self.get("serviceaccounts", f"--namespace={name}")["items"]:
            if time.monotonic() > deadline:
                raise ClusterError(f"namespace {name}: no default ServiceAccount in {NAMESPACE_DEADLINE:g} s")
            time.sleep(0.1)

    def delete_namespace(self, name: str, *, wait: bool = False) -> None:
        self.kubectl("delete", "namespace", name, "--ignore-not-found", f"--wait={str(wait).lower()}")

    def load_images(self) -> None:
        """Build the images from the present sources, where they changed, and bring them into the node."""
        if self.site:
            lifecycle.load(self.site, images.ensure())

    def log(self, component: str) -> str:
        """What a component of the node, for example kube-apiserver, has written; empty if not ours."""
        return (self.site.run / "log" / f"{component}.log").read_text() if self.site else ""

    def writes(self) -> list[dict[str, Any]]:
        """Every finished create, update, patch and delete, oldest first (audit.k8s.io/v1 Event).

        Useful fields: user.username, verb, objectRef.{resource,subresource,namespace,name}, stageTimestamp.
        """
        if not self.site:
            raise ClusterError("the audit log can be read only of a cluster that the tests started")
        return [json.loads(line) for line in self.log("audit").splitlines()]
