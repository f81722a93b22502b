"""Malformed WebServers: the real API server refuses each with a sentence that names field and remedy."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest
from testcluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

VERSION = "mpm-operator.io/v1alpha1"
INTEGER = "must be of type integer"
LEFT_OUT = "must be left out unless `type` is"

# What is wrong, the spec, the field to be named, the words that tell what to do.
SPECS: list[tuple[str, str, str, str]] = [
    # Something is missing.
    ("no app", "paused: true", "spec.app", "Required value"),
    ("no module", "app: {}", "spec.app.module", "Required value"),
    ("a reference without a name", "app: {module: 'a:b', configMapRef: {}}", "name", "Required value"),
    # Something has the wrong type.
    ("app is text", "app: shop:app", "spec.app", "must be of type object"),
    ("module is a number", "app: {module: 7}", "spec.app.module", "must be of type string"),
    ("mpm is a list", "mpm: [Event]", "spec.mpm", "must be of type object"),
    ("threads in quotes", "mpm: {threadsPerChild: '25'}", "spec.mpm.threadsPerChild", INTEGER),
    ("half a thread", "mpm: {threadsPerChild: 2.5}", "spec.mpm.threadsPerChild", INTEGER),
    ("threads by a word", "mpm: {maxRequestWorkers: many}", "spec.mpm.maxRequestWorkers", INTEGER),
    ("seconds with a unit", "http: {timeoutSeconds: 60s}", "spec.http.timeoutSeconds", INTEGER),
    ("bytes with a unit", "http: {limitRequestBodyBytes: 1Gi}", "limitRequestBodyBytes", INTEGER),
    ("a switch by httpd's word", "http: {keepAlive: 'On'}", "spec.http.keepAlive", "must be of type boolean"),
    ("a switch by number", "paused: 1", "spec.paused", "must be of type boolean"),
    ("replicas by a word", "replicas: three", "spec.replicas", INTEGER),
    ("a range of ports", "service: {port: 80-90}", "spec.service.port", INTEGER),
    ("image as a list", "image: [shop]", "spec.image", "must be of type string"),
    ("a template that is text", "podTemplate: big", "spec.podTemplate", "must be of type object"),
    ("a template's spec is a list", "podTemplate: {spec: []}", "spec.podTemplate.spec", "of type object"),
    ("a label is a number", "podTemplate: {metadata: {labels: {v: 1}}}", "labels.v", "of type string"),
    # A word that is none of those.
    ("an MPM in small letters", "mpm: {type: event}", "spec.mpm.type", '"Event", "Prefork", "Worker"'),
    ("an MPM by another name", "mpm: {type: ITK}", "spec.mpm.type", '"Event", "Prefork", "Worker"'),
    ("an engine to come", "engine: Nginx", "spec.engine", 'supported values: "Builtin"'),
    ("a service by another name", "service: {type: ExternalName}", "spec.service.type", '"ClusterIP"'),
    ("a resize by a switch", "scaling: {resize: true}", "spec.scaling.resize", "must be of type string"),
    ("a resize by another name", "scaling: {resize: Auto}", "spec.scaling.resize", '"InPlace", "Never"'),
    # A number out of every range.
    ("threads below nothing", "mpm: {threadsPerChild: -1}", "spec.mpm.threadsPerChild", "or equal to 0"),
    (
        "more slots than can be",
        "mpm: {maxRequestWorkers: 1000000}",
        "maxRequestWorkers",
        "or equal to 200000",
    ),
    ("a number beyond 32 bits", "mpm: {maxConnectionsPerChild: 3000000000}", "PerChild", "2147483647"),
    ("no queue at all", "mpm: {listenBacklog: 0}", "spec.mpm.listenBacklog", "or equal to 1"),
    ("a drain of days", "mpm: {gracefulShutdownTimeoutSeconds: 90000}", "gracefulShutdown", "to 86400"),
    ("pods without servers", "mpm: {processesPerPod: 0}", "spec.mpm.processesPerPod", "or equal to 1"),
    ("no time at all", "http: {timeoutSeconds: 0}", "spec.http.timeoutSeconds", "or equal to 1"),
    ("a kept connection for days", "http: {keepAliveTimeoutSeconds: 86400}", "keepAliveTime", "to 3600"),
    ("a body below nothing", "http: {limitRequestBodyBytes: -1}", "limitRequestBodyBytes", "or equal to 0"),
    ("port 0", "service: {port: 0}", "spec.service.port", "greater than or equal to 1"),
    ("a port too high", "service: {port: 70000}", "spec.service.port", "less than or equal to 65535"),
    ("no pods at least", "scaling: {minReplicas: 0}", "spec.scaling.minReplicas", "or equal to 1"),
    ("replicas below nothing", "replicas: -1", "spec.replicas", "greater than or equal to 0"),
    ("everybody waits", "scaling: {waitProbabilityPercent: 80}", "waitProbability", "or equal to 50"),
    ("a delay of a day", "scaling: {drainDelaySeconds: 86400}", "drainDelaySeconds", "or equal to 600"),
    # Text that cannot be what it should be.
    ("a module without callable", "app: {module: shop}", "spec.app.module", "must be MODULE:CALLABLE"),
    ("a factory's argument", "app: {module: 'shop:make(1)'}", "spec.app.module", "must be MODULE:CALLABLE"),
    ("a module by its file", "app: {module: shop/wsgi.py:app}", "spec.app.module", "must be MODULE:CALLABLE"),
    ("an empty module", "app: {module: ''}", "spec.app.module", "should be at least 1 chars long"),
    ("an image with a blank", "image: shop :1", "spec.image", "without blanks, e.g. `shop:1`, not shop :1"),
    ("an empty image", "image: ''", "spec.image", "should be at least 1 chars long"),
    (
        "a ConfigMap by path",
        "app: {module: 'a:b', configMapRef: {name: x/y}}",
        "ref.name",
        "like `shop-code`",
    ),
    # A field that means nothing beside another.
    ("threads in Prefork", "mpm: {type: Prefork, threadsPerChild: 5}", "spec.mpm.threadsPerChild", LEFT_OUT),
    ("a thread limit in Prefork", "mpm: {type: Prefork, threadLimit: 5}", "spec.mpm.threadLimit", LEFT_OUT),
    ("spare threads in Prefork", "mpm: {type: Prefork, minSpareThreads: 5}", "minSpare", "`minSpareServers`"),
    ("most threads in Prefork", "mpm: {type: Prefork, maxSpareThreads: 5}", "maxSpare", "`maxSpareServers`"),
    ("spare servers in Event", "mpm: {minSpareServers: 5}", "spec.mpm.minSpareServers", "`minSpareThreads`"),
    ("most servers in Worker", "mpm: {type: Worker, maxSpareServers: 5}", "maxSpare", "`maxSpareThreads`"),
    # A field that does not exist.
    ("httpd's own spelling", "mpm: {ThreadsPerChild: 25}", "spec.mpm.ThreadsPerChild", "unknown field"),
    ("a directive in the wrong place", "threadsPerChild: 25", "spec.threadsPerChild", "unknown field"),
    ("a slip of the pen", "mpm: {startServer: 2}", "spec.mpm.startServer", "unknown field"),
    ("a HPA's word", "scaling: {maxReplicas: 9}", "spec.scaling.maxReplicas", "unknown field"),
    (
        "a template's foreign field",
        "podTemplate: {replicas: 1}",
        "spec.podTemplate.replicas",
        "unknown field",
    ),
]


def document(spec: str, name: str = "shop") -> str:
    app = "" if "app:" in spec or spec == "paused: true" else "app: {module: 'shop:app'}\n"
    return f"apiVersion: {VERSION}\nkind: WebServer\nmetadata: {{name: {name}}}\nspec:\n" + textwrap.indent(
        app + spec, "  "
    )


@pytest.mark.parametrize(("spec", "field", "remedy"), [case[1:] for case in SPECS], ids=[c[0] for c in SPECS])
def test_a_bad_spec_is_refused_in_words(
    create: Callable[[str], str], spec: str, field: str, remedy: str
) -> None:
    with pytest.raises(ClusterError) as refusal:
        create(document(spec))
    said = str(refusal.value)
    assert field.lower() in said.lower()
    assert remedy in said


NAMES = ["shop.example", "9shop", "s" * 64]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_its_service_cannot_have_is_refused(create: Callable[[str], str], name: str) -> None:
    with pytest.raises(ClusterError, match=r"`metadata.name` must be at most 63 of a-z, 0-9 and `-`"):
        create(document("paused: false", name))


DOCUMENTS = [
    (
        "a version to come",
        "apiVersion: mpm-operator.io/v2\nkind: WebServer",
        'no matches for kind "WebServer"',
    ),
    ("another kind", f"apiVersion: {VERSION}\nkind: Webserver", 'no matches for kind "Webserver"'),
    ("no spec", f"apiVersion: {VERSION}\nkind: WebServer\nmetadata: {{name: a}}", "spec: Required value"),
    (
        "no name",
        f"apiVersion: {VERSION}\nkind: WebServer\nspec: {{app: {{module: 'a:b'}}}}",
        "name or generateName is required",
    ),
    ("no YAML", "apiVersion: [", "error converting YAML to JSON"),
]


@pytest.mark.parametrize(("text", "words"), [case[1:] for case in DOCUMENTS], ids=[c[0] for c in DOCUMENTS])
def test_a_document_that_is_no_webserver_is_refused(
    create: Callable[[str], str], text: str, words: str
) -> None:
    with pytest.raises(ClusterError) as refusal:
        create(text)
    assert words in str(refusal.value)


CORRECTED = [
    ("more threads than the limit", "mpm: {threadsPerChild: 100, threadLimit: 10}"),
    ("a band upside down", "mpm: {minSpareThreads: 100, maxSpareThreads: 10}"),
    ("no whole pod", "mpm: {threadsPerChild: 25, maxRequestWorkers: 10}"),
    ("zero threads", "mpm: {threadsPerChild: 0}"),
    ("more pods than slots", "mpm: {maxRequestWorkers: 25}\nscaling: {minReplicas: 10}"),
    ("a computed field left out by null", "mpm: {threadsPerChild: null}\nreplicas: null"),
]


@pytest.mark.parametrize("spec", [case[1] for case in CORRECTED], ids=[c[0] for c in CORRECTED])
def test_what_httpd_corrects_at_startup_is_let_through(create: Callable[[str], str], spec: str) -> None:
    assert "created" in create(document(spec))
