"""The real one-node cluster of the tests, by hand: cluster.py tools|images|up|down|status|kubectl."""

from __future__ import annotations

import argparse
import os
import sys
import time

from testcluster import binaries, images, lifecycle
from testcluster.components import NODE
from testcluster.errors import ClusterError

VERBS = {
    "tools": "install packages and build binaries, where they are missing",
    "images": "build the images from the present sources, and load them into the cluster if it runs",
    "up": "start a cluster and say how to use it",
    "down": "end it and remove everything it left",
    "status": "what runs",
    "kubectl": "kubectl with the cluster's kubeconfig",
}


def main() -> None:
    options, rest = parse()
    site = lifecycle.Site(options.name)
    try:
        match options.verb:
            case "tools":
                tools()
            case "images":
                build_images(site)
            case "up":
                up(site)
            case "down":
                print(f"cluster {site.name}: {lifecycle.down(site)} processes ended, nothing left")
            case "status":
                print(status(site))
            case "kubectl":
                kubectl(site, rest)
    except ClusterError as error:
        sys.exit(f"cluster: {error}")


def parse() -> tuple[argparse.Namespace, list[str]]:
    """The options, and what is meant for kubectl."""
    named = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    named.add_argument("--name", default="dev", help="several clusters can run side by side (default: dev)")
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, text in VERBS.items():
        kubectl = verb == "kubectl"
        verbs.add_parser(verb, help=text, parents=[named], add_help=not kubectl, allow_abbrev=False)
    options, rest = parser.parse_known_args()
    if rest and options.verb != "kubectl":
        parser.error(f"unknown: {' '.join(rest)}")
    return options, rest


def kubectl(site: lifecycle.Site, arguments: list[str]) -> None:
    site.enter()  # an error when it does not run
    os.execv(site.run / "kubectl", ["kubectl", *arguments])


def tools() -> None:
    """All of it as root; else helm alone, for the tests of the chart, and a word on what will be skipped."""
    try:
        lifecycle.require_root()
    except ClusterError as error:
        if os.environ.get("CI") == "true":
            raise
        print(f"cluster: tests on a real cluster will be skipped: {error}")
        binaries.ensure(binaries.HELM)
    else:
        lifecycle.tools()


def build_images(site: lifecycle.Site) -> None:
    lifecycle.tools()
    built = images.ensure()
    if site.node_pid:
        lifecycle.load(site, built)
    for image in built:
        print(f"{image.name} {image.digest}")


def up(site: lifecycle.Site) -> None:
    started = time.monotonic()
    lifecycle.up(site)
    enter = " ".join(site.enter())
    print(
        f"""\
cluster {site.name} is ready after {time.monotonic() - started:.1f} s
  kubectl:         {site.run}/kubectl get nodes
  or:              export KUBECONFIG={site.kubeconfig}
  in its network:  {enter} curl http://CLUSTER-IP/      (pods and Services can be reached only there)
  logs:            {site.run}/log
  tests on it:     MPM_TEST_CLUSTER={site.name} .venv/bin/pytest -m cluster
  end:             .venv/bin/python tests/cluster/cluster.py down --name {site.name}"""
    )


def status(site: lifecycle.Site) -> str:
    if not site.node_pid:
        others = [name for name in lifecycle.names() if lifecycle.Site(name).node_pid]
        return f"cluster {site.name} does not run; running: {', '.join(others) or 'none'}"
    missing = site.api.ready(NODE)
    lines = [f"cluster {site.name}: {missing or 'Ready'}", f"kubeconfig: {site.kubeconfig}"]
    lines.append(f"in its network: {' '.join(site.enter())} COMMAND")
    return "\n".join([*lines, lifecycle.log_tail(site, "node")]).rstrip()


if __name__ == "__main__":
    main()
