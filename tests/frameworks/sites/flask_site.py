"""The site in Flask."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import flask

if TYPE_CHECKING:
    from collections.abc import Iterator

application = flask.Flask(__name__, static_folder="files", static_url_path="/static")


@application.get("/")
def home() -> flask.Response:
    visits = int(flask.request.cookies.get("visits", 0)) + 1
    response = flask.make_response(f"visit {visits}")
    response.set_cookie("visits", str(visits), httponly=True)
    return response


@application.post("/form")
def form() -> Any:
    return {"name": flask.request.form["name"], "several": flask.request.form.getlist("several")}


@application.post("/upload")
def upload() -> Any:
    sent, digest, size = flask.request.files["file"], hashlib.sha256(), 0
    while block := sent.stream.read(1 << 16):
        digest.update(block)
        size += len(block)
    note = flask.request.form["note"]
    return {"note": note, "name": sent.filename, "size": size, "sha256": digest.hexdigest()}


@application.post("/raw")
def raw() -> Any:
    return {"size": len(flask.request.get_data())}


@application.get("/stream")
def stream() -> flask.Response:
    def numbers() -> Iterator[bytes]:
        yield from (b"%d\n" % number for number in range(1000))

    return flask.Response(numbers(), mimetype="text/plain")


@application.get("/boom")
def boom() -> str:
    raise RuntimeError("the site broke")


@application.get("/redirect")
def redirect() -> Any:
    return flask.redirect("/")
