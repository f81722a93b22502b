"""The site in Bottle."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import bottle

if TYPE_CHECKING:
    from collections.abc import Iterator

application = bottle.Bottle()


@application.get("/")
def home() -> str:
    visits = int(bottle.request.get_cookie("visits", 0)) + 1
    bottle.response.set_cookie("visits", str(visits), httponly=True)
    return f"visit {visits}"


@application.post("/form")
def form() -> Any:
    return {"name": bottle.request.forms.name, "several": bottle.request.forms.getall("several")}


@application.post("/upload")
def upload() -> Any:
    sent, digest, size = bottle.request.files["file"], hashlib.sha256(), 0
    while block := sent.file.read(1 << 16):
        digest.update(block)
        size += len(block)
    note = bottle.request.forms["note"]
    return {"note": note, "name": sent.raw_filename, "size": size, "sha256": digest.hexdigest()}


@application.post("/raw")
def raw() -> Any:
    return {"size": len(bottle.request.body.read())}


@application.get("/stream")
def stream() -> Iterator[bytes]:
    bottle.response.content_type = "text/plain"
    yield from (b"%d\n" % number for number in range(1000))


@application.get("/boom")
def boom() -> str:
    raise RuntimeError("the site broke")


@application.get("/redirect")
def redirect() -> None:
    bottle.redirect("/")


@application.get("/static/<path:path>")
def static(path: str) -> Any:
    return bottle.static_file(path, root=os.path.join(os.path.dirname(__file__), "files"))
