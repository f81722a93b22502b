"""The site in Falcon."""

from __future__ import annotations

import hashlib
from pathlib import Path

import falcon


class Home:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        visits = int(request.cookies.get("visits", 0)) + 1
        response.text = f"visit {visits}"
        response.set_cookie("visits", str(visits), secure=False)


class Form:
    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        sent = request.get_media()
        response.media = {"name": sent["name"], "several": sent["several"]}


class Upload:
    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        told: dict[str, object] = {}
        digest, size = hashlib.sha256(), 0
        for part in request.get_media():
            if part.name == "note":
                told["note"] = part.text
                continue
            told["name"] = part.filename
            while block := part.stream.read(1 << 16):
                digest.update(block)
                size += len(block)
        response.media = told | {"size": size, "sha256": digest.hexdigest()}


class Raw:
    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        response.media = {"size": len(request.bounded_stream.read())}


class Stream:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        response.content_type = "text/plain"
        response.stream = (b"%d\n" % number for number in range(1000))


class Boom:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        raise RuntimeError("the site broke")


class Redirect:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        raise falcon.HTTPFound("/")


application = falcon.App()
for route, resource in {
    "/": Home(),
    "/form": Form(),
    "/upload": Upload(),
    "/raw": Raw(),
    "/stream": Stream(),
    "/boom": Boom(),
    "/redirect": Redirect(),
}.items():
    application.add_route(route, resource)
application.add_static_route("/static", str(Path(__file__).parent / "files"))
