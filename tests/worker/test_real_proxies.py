"""HAProxy and nginx as they are configured in the field, in front of the worker."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from testcluster import packages
from worker_tls import client_context, make_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROXIES = {"haproxy": "/usr/sbin/haproxy", "nginx": "/usr/sbin/nginx"}

HAPROXY = """
global
    maxconn 100
defaults
    mode {mode}
    timeout connect 60s
    timeout client 60s
    timeout server 60s
    retries 0
listen shop
    bind 127.0.0.1:{port}
    {more}
    server worker {worker} {send}
"""
NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server_names_hash_bucket_size 128;
{site}
}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


@pytest.fixture
def run() -> Iterator[Callable[..., None]]:
    """Runs a proxy until the end of the test, from the moment its port answers."""
    packages.ensure(PROXIES, "the tests with real proxies")
    running: list[subprocess.Popen[bytes]] = []

    def begin(port: int, *command: str | Path) -> None:
        running.append(subprocess.Popen(command))
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=60).close()
            except ConnectionRefusedError:
                assert running[-1].poll() is None
                assert time.monotonic() < end
                time.sleep(0.05)
            else:
                return

    yield begin
    for process in running:
        process.terminate()
        process.wait(60)


def told(port: int, requests: int = 1, **headers: str) -> dict[str, Any]:
    """The environ of the last of so many requests on one connection."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for _ in range(requests):
            connection.request(
                "GET", "/", headers={name.replace("_", "-"): value for name, value in headers.items()}
            )
            response = connection.getresponse()
            assert response.status == 200
            body = response.read()
    environ: dict[str, Any] = json.loads(body)
    return environ


@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2"])
def test_haproxy_speaks_the_proxy_protocol(start, run, tmp_path, mpm: str, send: str) -> None:
    options = ("--mpm", mpm, "--processes", "1", "--proxy-protocol", "on", "--trusted-proxies", "127.0.0.1")
    worker = start(*options, app="told:app")
    port = free_port()
    configuration = HAPROXY.format(
        mode="tcp", port=port, more="", worker=f"127.0.0.1:{worker.port}", send=send
    )
    (tmp_path / "haproxy.cfg").write_text(configuration)
    run(port, "haproxy", "-db", "-f", tmp_path / "haproxy.cfg")
    with closing(
        http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=("127.0.0.9", 0))
    ) as client:
        client.connect()
        port = client.sock.getsockname()[1]
        client.request("GET", "/")
        environ = json.loads(client.getresponse().read())
        assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("127.0.0.9", str(port))


def test_haproxy_passes_tls_through_behind_its_header(start, run, tmp_path, mpm: str) -> None:
    certificate, key = make_certificate(tmp_path / "tls")
    options = ("--mpm", mpm, "--processes", "1", "--proxy-protocol", "on", "--trusted-proxies", "127.0.0.1")
    worker = start(*options, "--tls-certificate", certificate, "--tls-key", key, app="told:app")
    port = free_port()
    configuration = HAPROXY.format(
        mode="tcp", port=port, more="", worker=f"127.0.0.1:{worker.port}", send="send-proxy-v2"
    )
    (tmp_path / "haproxy.cfg").write_text(configuration)
    run(port, "haproxy", "-db", "-f", tmp_path / "haproxy.cfg")
    context = client_context(certificate)
    with closing(http.client.HTTPSConnection("localhost", port, timeout=60, context=context)) as client:
        client.request("GET", "/")
        assert json.loads(client.getresponse().read())["wsgi.url_scheme"] == "https"


@pytest.mark.parametrize("header", ["option forwardfor", "http-request set-header Forwarded for=%[src]"])
def test_haproxy_names_the_client_in_a_field(start, run, tmp_path, header: str) -> None:
    worker = start("--trusted-proxies", "127.0.0.1", app="told:app")
    port = free_port()
    more = f"{header}\n    http-request set-header X-Forwarded-Proto https"
    configuration = HAPROXY.format(
        mode="http", port=port, more=more, worker=f"127.0.0.1:{worker.port}", send=""
    )
    (tmp_path / "haproxy.cfg").write_text(configuration)
    run(port, "haproxy", "-db", "-f", tmp_path / "haproxy.cfg")
    with closing(
        http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=("127.0.0.9", 0))
    ) as client:
        client.request("GET", "/")
        environ = json.loads(client.getresponse().read())
    # 127.0.0.9 is no trusted proxy, 127.0.0.1 is
    assert environ["REMOTE_ADDR"] == "127.0.0.9"
    if "forwardfor" in header:
        assert environ["wsgi.url_scheme"] == "https"


def test_the_nginx_of_the_guide(start, run, tmp_path, mpm: str) -> None:
    """By a Unix socket, kept alive, with every field that the guide sets."""
    path, port = tmp_path / "http.sock", free_port()
    log = tmp_path / "access.log"
    options = (
        "--mpm",
        mpm,
        "--processes",
        "1",
        "--threads",
        "3",
        "--bind",
        f"unix:{path}",
        "--socket-mode",
        "0666",
        "--keep-alive-timeout",
        "5",
    )
    logging = ("--access-log", str(log), "--access-log-format", "json")
    worker = start(*options, *logging, "--trusted-proxies", "unix", app="told:app")
    guide = os.path.join(os.path.dirname(__file__), "../../docs/worker.md")
    with open(guide) as file:
        (site,) = re.findall(r"```nginx\n(.*?)```", file.read(), re.DOTALL)
    site = site.replace("/run/shop/http.sock", str(path)).replace("listen 80;", f"listen 127.0.0.1:{port};")
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, site=site))
    run(port, "nginx", "-p", tmp_path, "-c", tmp_path / "nginx.conf", "-g", "user root;")
    environ = told(port, requests=5, Host="shop.example", X_Forwarded_For="6.6.6.6", X_Request_ID="mine")
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == (
        "127.0.0.1",
        "http",
        "shop.example",
    )
    worker.signal(15)
    assert worker.exit_code() == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["client"] for line in lines} == {"127.0.0.1"}
    assert len({line["id"] for line in lines}) == 5
    assert all(re.fullmatch(r"[0-9a-f]{32}", line["id"]) for line in lines)  # nginx's $request_id
