"""The CustomResourceDefinition, made from the spec types: `python -m mpm_operator.manifests.crd [--chart]`.

A structural schema (Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions") is a narrow
dialect of JSON Schema: no references, no null, no `additionalProperties: false` beside properties. Patterns
become CEL rules, because the API server shows a rule's message, and of a pattern only the pattern.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from mpm_operator.core.rules import RULES
from mpm_operator.core.spec import WebServerSpec

from .owner import KIND, Manifest
from .status import status_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP = "mpm-operator.io"
VERSION = "v1alpha1"
PLURAL = "webservers"

INT32_MAX = 2**31 - 1

CONDITION = '.status.conditions[?(@.type=="{}")].{}'

COLUMNS = (
    ("Ready", "string", CONDITION.format("Ready", "status"), "Whether it serves as it was asked to.", 0),
    ("MPM", "string", ".spec.mpm.type", "The Multi-Processing Module.", 0),
    ("Pods", "integer", ".status.readyReplicas", "Pods that accept requests.", 0),
    ("Desired", "integer", ".status.desiredReplicas", "Pods wanted.", 1),
    ("Threads", "integer", ".status.threadsPerChild", "Threads of each server.", 0),
    ("Busy", "integer", ".status.workers.busy", "Slots with a request.", 0),
    ("Idle", "integer", ".status.workers.idle", "Slots without one.", 0),
    ("Queue", "integer", ".status.workers.queue", "Requests that wait for a slot.", 0),
    ("Reason", "string", ".status.decision.reason", "Why there are so many pods and threads.", 0),
    ("Message", "string", ".status.decision.message", "The decision in a sentence.", 1),
    ("Age", "date", ".metadata.creationTimestamp", "Since when it exists.", 0),
)


def crd() -> Manifest:
    """The definition of WebServer."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{PLURAL}.{GROUP}",
            "labels": {"app.kubernetes.io/name": "mpm-operator", "app.kubernetes.io/component": "crd"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": "webserver",
                "shortNames": ["webs"],
                "categories": ["mpm"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [_column(*column) for column in COLUMNS],
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "schema": {"openAPIV3Schema": schema()},
                }
            ],
        },
    }


def schema() -> Manifest:
    """The structural schema of a WebServer, rules included."""
    (reference,), definitions = msgspec.json.schema_components([WebServerSpec], ref_template="{name}")
    root: Manifest = {
        "type": "object",
        "description": "WebServer is a pool of blocking workers that scales itself by its scoreboard, as "
        "Apache httpd's Multi-Processing Modules do on one machine.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(reference, definitions),
            "status": status_schema(),
        },
    }
    for rule in RULES:
        _at(root, rule.scope).setdefault("x-kubernetes-validations", []).append(
            {
                "rule": rule.cel,
                "message": f"`{rule.field}` {rule.message}",
                # An error can be blamed only on a field that the schema describes, and metadata is not.
                **({"fieldPath": f".{rule.field}", "reason": "FieldValueForbidden"} if rule.scope else {}),
            }
        )
    return root


def structural(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Manifest:
    """Turn msgspec's JSON Schema into the API server's dialect."""
    node = _resolved(node, definitions)
    kept: Manifest = {
        key: node[key]
        for key in ("description", "minimum", "maximum", "minLength", "maxLength", "maxProperties", "enum")
        if key in node
    }
    result: Manifest = {"type": node.get("type", "string"), **kept}
    if node.get("default") not in (None, {}):
        result["default"] = node["default"]
    if result["type"] == "integer":
        result["format"] = "int32" if node["maximum"] <= INT32_MAX else "int64"
    if "pattern" in node:
        rule = f"self.matches({json.dumps(node['pattern'])})"
        said = f"{json.dumps(node['message'] + ', not ')} + self"
        result["x-kubernetes-validations"] = [
            {"rule": rule, "message": node["message"], "messageExpression": said}
        ]
    if result["type"] == "object":
        result |= _object(node, definitions)
    return result


def _object(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Manifest:
    if "properties" not in node:
        values = node.get("additionalProperties")
        if not values or values is True:
            return {"x-kubernetes-preserve-unknown-fields": True}
        return {"additionalProperties": structural(values, definitions)}
    properties = {name: structural(field, definitions) for name, field in node["properties"].items()}
    required = node.get("required", [])
    for name, field in properties.items():
        # The API server sets defaults only below objects that are there.
        if name not in required and any("default" in inner for inner in field.get("properties", {}).values()):
            field["default"] = {}
    return {"properties": properties, **({"required": required} if required else {})}


def _resolved(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The node without references and without the alternative null; what stands outside wins."""
    if "$ref" in node:
        outside = {key: value for key, value in node.items() if key != "$ref"}
        return _resolved({**definitions[node["$ref"]], **outside}, definitions)
    if "anyOf" in node:
        (inside,) = [part for part in node["anyOf"] if part.get("type") != "null"]
        outside = {key: value for key, value in node.items() if key != "anyOf"}
        return _resolved({**_resolved(inside, definitions), **outside}, definitions)
    return dict(node)


def _at(root: Manifest, path: str) -> Manifest:
    node = root
    for name in path.split(".") if path else []:
        node = node["properties"][name]
    return node


def _column(name: str, kind: str, path: str, description: str, priority: int) -> Manifest:
    column = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return column | ({"priority": priority} if priority else {})


HEAD = "# Made by `make manifests` from operator/mpm_operator/core/spec.py; edit that.\n"

CHART_METADATA = f"""\
metadata:
  name: {PLURAL}.{GROUP}
  labels:
    {{{{- include "mpm-operator.labels" . | nindent 4 }}}}
  {{{{- if .Values.crds.keep }}}}
  annotations:
    helm.sh/resource-policy: keep
  {{{{- end }}}}
"""
"""What the chart says otherwise: Helm never upgrades a `crds/` folder, so the definition is a template."""


def text() -> str:
    """The definition as YAML."""
    return HEAD + _yaml(crd())


def chart_text() -> str:
    """The definition as a template of the Helm chart."""
    definition = crd()
    head = _yaml({key: definition[key] for key in ("apiVersion", "kind")})
    body = _yaml({"spec": definition["spec"]})
    return f"{HEAD}{{{{- if .Values.crds.install }}}}\n{head}{CHART_METADATA}{body}{{{{- end }}}}\n"


def _yaml(value: Manifest) -> str:
    return yaml.safe_dump(value, sort_keys=False, width=110, allow_unicode=True)


if __name__ == "__main__":
    sys.stdout.write(chart_text() if "--chart" in sys.argv else text())
