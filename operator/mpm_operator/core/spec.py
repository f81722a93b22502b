"""The WebServer resource as frozen values: the one source of the schema, the defaults and their words.

The CRD in `crds/` is generated from these types; a field's description is what `kubectl explain` prints.
A field whose absence means "computed" has no default but `None`: the API server must never fill it in.
Bounds here reject only what can mean nothing; what httpd corrects at startup is let through and corrected
by `directives.normalise`, with a message.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct, field

Count = Annotated[int, Meta(ge=0, le=200_000)]
Seconds = Annotated[int, Meta(ge=0, le=86_400)]
Percent = Annotated[int, Meta(ge=1, le=50)]
Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=253,
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        extra_json_schema={"message": "must be a name like `shop-code`: a-z, 0-9, `-` and `.` inside"},
    ),
]
Labels = Annotated[dict[str, Annotated[str, Meta(max_length=63)]], Meta(max_length=64)]
Annotations = Annotated[dict[str, Annotated[str, Meta(max_length=4096)]], Meta(max_length=64)]


class Engine(StrEnum):
    """The data plane in the pods."""

    BUILTIN = "Builtin"


class MPM(StrEnum):
    """The Multi-Processing Module: how slots are made of processes and threads."""

    PREFORK = "Prefork"
    WORKER = "Worker"
    EVENT = "Event"


class ServiceType(StrEnum):
    """The type of the Service in front of the pods."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class Resize(StrEnum):
    """Whether CPU and memory follow the threads by in-place resize of the pods."""

    IN_PLACE = "InPlace"
    NEVER = "Never"


class _Value(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """A part of the resource: immutable, unknown fields are errors, names in camelCase."""


class ConfigMapRef(_Value, frozen=True):
    """A ConfigMap in the namespace of the WebServer."""

    name: Annotated[Name, Meta(description="Name of the ConfigMap.")]


class App(_Value, frozen=True):
    """The application that the slots run."""

    module: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=256,
            pattern=r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*([(][)])?$",
            description="WSGI application as MODULE:CALLABLE, e.g. `shop.wsgi:application`, or "
            "MODULE:FACTORY() that makes it.",
            extra_json_schema={"message": "must be MODULE:CALLABLE, e.g. `shop.wsgi:application`"},
        ),
    ]
    config_map_ref: Annotated[
        ConfigMapRef | None,
        Meta(
            description="ConfigMap whose keys are the application's files: code to try without building "
            "an image. A change of its data rolls the pods."
        ),
    ] = None


class MPMDirectives(_Value, frozen=True):
    """Apache httpd's MPM directives, in camelCase."""

    type: Annotated[
        MPM,
        Meta(
            description="Prefork: one request a process; Worker: a thread keeps its connection; Event: "
            "only running requests hold a thread."
        ),
    ] = MPM.EVENT
    start_servers: Annotated[
        Count | None,
        Meta(description="StartServers: servers at the very first creation; later changes act on nothing."),
    ] = None
    threads_per_child: Annotated[
        Count | None,
        Meta(
            description="ThreadsPerChild: threads of each server, changed live; left out: tuned, from 25 on, "
            "to what requests wait and compute. A burst may add more, up to ThreadLimit."
        ),
    ] = None
    thread_limit: Annotated[
        Count | None,
        Meta(description="ThreadLimit: most threads a server can ever have; a change rolls the pods."),
    ] = None
    min_spare_threads: Annotated[
        Count | None,
        Meta(
            description="MinSpareThreads: least idle slots over the whole WebServer (Worker, Event); left "
            "out it is computed from the load."
        ),
    ] = None
    max_spare_threads: Annotated[
        Count | None,
        Meta(
            description="MaxSpareThreads: most idle slots over the whole WebServer (Worker, Event); left "
            "out it is computed from the load."
        ),
    ] = None
    min_spare_servers: Annotated[
        Count | None,
        Meta(
            description="MinSpareServers: least idle servers over the whole WebServer (Prefork); left out "
            "it is computed from the load."
        ),
    ] = None
    max_spare_servers: Annotated[
        Count | None,
        Meta(
            description="MaxSpareServers: most idle servers over the whole WebServer (Prefork); left out "
            "it is computed from the load."
        ),
    ] = None
    max_request_workers: Annotated[
        Count | None,
        Meta(
            description="MaxRequestWorkers: most slots over the whole WebServer at every moment, rounded "
            "down to whole pods, at least one."
        ),
    ] = None
    server_limit: Annotated[
        Count | None,
        Meta(description="ServerLimit: most servers, draining and rolling ones included."),
    ] = None
    max_connections_per_child: Annotated[
        Annotated[int, Meta(ge=0, le=2_147_483_647)],
        Meta(
            description="MaxConnectionsPerChild: connections after which a server is recycled inside its "
            "pod; 0 = never."
        ),
    ] = 0
    max_rss_bytes: Annotated[
        Annotated[int, Meta(ge=0, le=2**50)] | None,
        Meta(
            description="Resident memory at which a server is recycled inside its pod; 0 = never; left out: "
            "the one that has grown most, when four fifths of the pod's memory limit are in use."
        ),
    ] = None
    request_timeout_seconds: Annotated[
        Seconds,
        Meta(
            description="A request that runs for longer has its stack logged and its server recycled; 0 = "
            "never."
        ),
    ] = 0
    async_request_worker_factor: Annotated[
        Annotated[int, Meta(ge=1, le=1000)],
        Meta(
            description="AsyncRequestWorkerFactor: connections an Event server accepts beyond its threads, "
            "for each idle thread."
        ),
    ] = 2
    listen_backlog: Annotated[
        Annotated[int, Meta(ge=1, le=65_535)],
        Meta(
            description="ListenBacklog: length of the queue of connections that wait for a slot; a change "
            "rolls the pods."
        ),
    ] = 511
    graceful_shutdown_timeout_seconds: Annotated[
        Seconds,
        Meta(
            description="GracefulShutdownTimeout: longest a draining pod waits for its requests; 0 = one "
            "hour."
        ),
    ] = 60
    processes_per_pod: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | None,
        Meta(
            description="Servers packed into one pod; a change rolls the pods; left out: 1 for Worker and "
            "Event, 8 for Prefork."
        ),
    ] = None


class HTTPSettings(_Value, frozen=True):
    """httpd's core directives of connections, changed live."""

    timeout_seconds: Annotated[
        Annotated[int, Meta(ge=1, le=86_400)], Meta(description="TimeOut: longest wait for the client.")
    ] = 60
    keep_alive: Annotated[bool, Meta(description="KeepAlive: several requests a connection.")] = True
    keep_alive_timeout_seconds: Annotated[
        Annotated[int, Meta(ge=1, le=3600)],
        Meta(description="KeepAliveTimeout: longest idle time of a connection."),
    ] = 5
    max_keep_alive_requests: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000_000)],
        Meta(description="MaxKeepAliveRequests: requests a connection; 0 = without limit."),
    ] = 100
    limit_request_body_bytes: Annotated[
        Annotated[int, Meta(ge=0, le=2**50)],
        Meta(description="LimitRequestBody: largest request body; 0 = without limit."),
    ] = 1_073_741_824


class Scaling(_Value, frozen=True):
    """What httpd has no word for."""

    min_replicas: Annotated[Annotated[int, Meta(ge=1, le=10_000)], Meta(description="Least pods.")] = 1
    scale_down_stabilization_seconds: Annotated[
        Seconds, Meta(description="A pod goes only after this long without need of it.")
    ] = 120
    wait_probability_percent: Annotated[
        Percent,
        Meta(
            description="How often a request may have to wait for a slot; the computed spare slots follow "
            "from it."
        ),
    ] = 5
    drain_delay_seconds: Annotated[
        Annotated[int, Meta(ge=0, le=600)],
        Meta(
            description="How long a pod that was told to end still accepts at least, until every proxy has "
            "forgotten it."
        ),
    ] = 5
    resize: Annotated[
        Resize,
        Meta(
            description="InPlace: CPU and memory of running pods follow their threads (pods/resize), unless "
            "`podTemplate` gives resources; Never: pods keep what they started with."
        ),
    ] = Resize.IN_PLACE


class ServiceSettings(_Value, frozen=True):
    """The Service in front of the pods."""

    port: Annotated[Annotated[int, Meta(ge=1, le=65_535)], Meta(description="Port of the Service.")] = 80
    type: Annotated[ServiceType, Meta(description="Type of the Service.")] = ServiceType.CLUSTER_IP


class PodMetadata(_Value, frozen=True):
    """Labels and annotations that the pods get besides the operator's own."""

    labels: Annotated[Labels, Meta(description="More labels of the pods.")] = field(default_factory=dict)
    annotations: Annotated[Annotations, Meta(description="More annotations of the pods.")] = field(
        default_factory=dict
    )


class PodTemplate(_Value, frozen=True):
    """What a user wants otherwise in the pods: a pod template of which everything may be left out."""

    metadata: Annotated[PodMetadata, Meta(description="More labels and annotations.")] = field(
        default_factory=PodMetadata
    )
    spec: Annotated[
        dict[str, Any],
        Meta(
            description="Part of a PodSpec, e.g. `nodeSelector`, or a container `worker` with `resources` "
            "and "
            "`env`; other containers run beside it."
        ),
    ] = field(default_factory=dict)


class WebServerSpec(_Value, frozen=True):
    """A pool of blocking workers that scales itself."""

    app: Annotated[App, Meta(description="The application that the slots run.")]
    engine: Annotated[Engine, Meta(description="The data plane in the pods.")] = Engine.BUILTIN
    image: Annotated[
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=512,
                pattern=r"^\S+$",
                extra_json_schema={"message": "must be an image reference without blanks, e.g. `shop:1`"},
            ),
        ]
        | None,
        Meta(description="Image built FROM the worker image; left out: the worker image itself."),
    ] = None
    mpm: Annotated[MPMDirectives, Meta(description="Apache httpd's MPM directives, in camelCase.")] = field(
        default_factory=MPMDirectives
    )
    http: Annotated[HTTPSettings, Meta(description="httpd's directives of connections, changed live.")] = (
        field(default_factory=HTTPSettings)
    )
    scaling: Annotated[Scaling, Meta(description="What httpd has no word for.")] = field(
        default_factory=Scaling
    )
    service: Annotated[ServiceSettings, Meta(description="The Service in front of the pods.")] = field(
        default_factory=ServiceSettings
    )
    paused: Annotated[bool, Meta(description="Observe and report, change nothing.")] = False
    extended_status: Annotated[
        bool, Meta(description="ExtendedStatus: /server-status shows whole request lines and clients.")
    ] = False
    replicas: Annotated[
        Annotated[int, Meta(ge=0, le=10_000)] | None,
        Meta(
            description="Pods set by hand or by an HPA through the scale subresource; while set, that "
            "many, and only threads are tuned."
        ),
    ] = None
    pod_template: Annotated[
        PodTemplate,
        Meta(
            description="Merged into the built pod template: lists by `name`, the operator's own fields win "
            "and a conflict is named."
        ),
    ] = field(default_factory=PodTemplate)
