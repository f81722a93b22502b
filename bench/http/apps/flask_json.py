"""A small JSON answer by Flask: what most people's requests cost."""

from __future__ import annotations

from typing import Any

from flask import Flask, jsonify

application = Flask(__name__)


@application.get("/json/<int:number>")
def item(number: int) -> Any:
    return jsonify(id=number, name="Article", tags=["a", "b", "c"], price=12.5)
