"""A guest book in Flask that forgets: each process keeps its own entries in memory."""

import flask

application = flask.Flask(__name__, static_folder=None)  # the worker serves the files: --static
entries: list[str] = []

PAGE = """<!doctype html>
<title>Guest book</title>
<link rel="stylesheet" href="/static/guestbook.css">
<form method="post"><input name="entry" maxlength="200" required> <button>Sign</button></form>
<ul>{% for entry in entries %}<li>{{ entry }}</li>{% endfor %}</ul>
"""


@application.get("/")
def read() -> str:
    return flask.render_template_string(PAGE, entries=entries)


@application.post("/")
def sign() -> flask.typing.ResponseReturnValue:
    entries.append(flask.request.form["entry"][:200])
    del entries[:-100]
    return flask.redirect("/")
