"""The site in Pyramid."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound
from pyramid.response import Response

if TYPE_CHECKING:
    from pyramid.request import Request


def home(request: Request) -> Response:
    visits = int(request.cookies.get("visits", 0)) + 1
    response = Response(f"visit {visits}")
    response.set_cookie("visits", str(visits), httponly=True)
    return response


def form(request: Request) -> dict[str, Any]:
    return {"name": request.POST["name"], "several": request.POST.getall("several")}


def upload(request: Request) -> dict[str, Any]:
    sent, digest, size = request.POST["file"], hashlib.sha256(), 0
    while block := sent.file.read(1 << 16):
        digest.update(block)
        size += len(block)
    note = request.POST["note"]
    return {"note": note, "name": sent.filename, "size": size, "sha256": digest.hexdigest()}


def raw(request: Request) -> dict[str, Any]:
    return {"size": len(request.body)}


def stream(request: Request) -> Response:
    return Response(app_iter=(b"%d\n" % number for number in range(1000)), content_type="text/plain")


def boom(request: Request) -> Response:
    raise RuntimeError("the site broke")


def redirect(request: Request) -> Response:
    raise HTTPFound("/")


with Configurator() as config:
    for view, path, renderer in (
        (home, "/", None),
        (form, "/form", "json"),
        (upload, "/upload", "json"),
        (raw, "/raw", "json"),
        (stream, "/stream", None),
        (boom, "/boom", None),
        (redirect, "/redirect", None),
    ):
        config.add_route(view.__name__, path)
        config.add_view(view, route_name=view.__name__, renderer=renderer)
    config.add_static_view("static", os.path.join(os.path.dirname(__file__), "files"))
    application = config.make_wsgi_app()
