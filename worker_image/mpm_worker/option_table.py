"""Every option of the worker, once: flag, environment variable, key of the config file, documentation."""

from __future__ import annotations

from mpm_worker.accessformat import COMBINED, COMMON, JSON
from mpm_worker.forwarded import AUTO, CUSTOM, STANDARD
from mpm_worker.option import (
    EVENT,
    PREFORK,
    WORKER,
    Bounds,
    Choice,
    Option,
    mode,
    seconds,
    switch,
    text,
    texts,
    whole,
)

DEFAULT_BIND = "0.0.0.0:8080"
_DAY = Bounds(0, 86400)
PROCESSES_MOST = 2000
THREADS_MOST = 20000  # httpd's MAX_THREAD_LIMIT of worker (server/mpm/worker/worker.c)

TABLE: tuple[Option, ...] = (
    Option(
        "app",
        text,
        "",
        "The WSGI application, or MODULE:FACTORY() that makes it; the same as the positional argument",
        "MODULE:CALLABLE",
    ),
    Option(
        "bind",
        texts,
        (),
        "Where requests are served: HOST:PORT (port 0 is a free one), unix:PATH, or fd://N, a listening "
        "socket handed down; may be given several times; left out: the sockets of systemd, or "
        f"{DEFAULT_BIND}",
        "ADDRESS",
    ),
    Option(
        "admin",
        text,
        "0.0.0.0:9090",
        "Where scoreboard, metrics, probes and control are served",
        "HOST:PORT",
    ),
    Option(
        "mpm",
        Choice((PREFORK, WORKER, EVENT)),
        EVENT,
        "The Multi-Processing Module",
        "prefork|worker|event",
    ),
    Option(
        "processes",
        whole,
        None,
        "Server processes (default 1; prefork 8)",
        bounds=Bounds(1, PROCESSES_MOST),
    ),
    Option(
        "server-limit",
        whole,
        None,
        "Most processes that can ever be asked for; sizes the shared memory, and with event costs each "
        "process two descriptors and one an address for each (default 32, or twice the processes)",
        bounds=Bounds(1, 2 * PROCESSES_MOST),
    ),
    Option(
        "threads",
        whole,
        25,
        "Threads of a process (ThreadsPerChild); prefork has one",
        bounds=Bounds(1, THREADS_MOST),
    ),
    Option(
        "thread-limit",
        whole,
        64,
        "Most threads a process can ever have; sizes the shared memory",
        bounds=Bounds(1, THREADS_MOST),
    ),
    Option("listen-backlog", whole, 511, "Connections that may wait to be accepted", bounds=Bounds(1, 65535)),
    Option(
        "timeout",
        seconds,
        60.0,
        "Longest wait for a client to send or to take data",
        "S",
        Bounds(0.1, 86400),
    ),
    Option("keep-alive", switch, True, "Whether a connection may carry more than one request", "BOOL"),
    Option("keep-alive-timeout", seconds, 5.0, "How long an idle connection is kept", "S", _DAY),
    Option(
        "max-keep-alive-requests",
        whole,
        100,
        "Requests on one connection; 0 has no limit",
        bounds=Bounds(0, 1 << 31),
    ),
    Option(
        "max-connections-per-child",
        whole,
        0,
        "Connections after which a process is replaced (about; with jitter); 0 never",
        bounds=Bounds(0, 1 << 31),
    ),
    Option(
        "max-requests-per-child",
        whole,
        0,
        "Requests after which a process is replaced (about; with jitter); 0 never",
        bounds=Bounds(0, 1 << 31),
    ),
    Option(
        "max-rss",
        whole,
        None,
        "Resident memory at which a process is replaced; 0 never (default: the most grown one, when four "
        "fifths of the memory limit are in use)",
        "BYTES",
        Bounds(0, 1 << 50),
    ),
    Option(
        "request-timeout",
        seconds,
        0.0,
        "A request that runs longer has its stack logged and its process replaced; 0 never",
        "S",
        _DAY,
    ),
    Option("graceful-timeout", seconds, 60.0, "Longest drain after TERM; 0 stands for an hour", "S", _DAY),
    Option(
        "drain-delay",
        seconds,
        0.0,
        "Least time to accept after TERM, then until nobody new came for 2 s; 0 awaits nobody",
        "S",
        Bounds(0, 3600),
    ),
    Option(
        "limit-request-body",
        whole,
        1 << 30,
        "Largest request body; 0 has no limit",
        "BYTES",
        Bounds(0, 1 << 50),
    ),
    Option(
        "request-buffering",
        switch,
        True,
        "Read chunked bodies, and in the event model long ones too, whole before the application runs",
        "BOOL",
    ),
    Option(
        "spool-threshold",
        whole,
        131072,
        "Bytes of a request body that is read whole beyond which it goes to a file",
        "BYTES",
        Bounds(0, 1 << 30),
    ),
    Option("spool-dir", text, "", "Folder of these files; left out: TMPDIR, else /tmp", "DIR"),
    Option(
        "static",
        texts,
        (),
        "Serve the files of a folder under a prefix without the application; may be given several times",
        "/PREFIX=DIR",
    ),
    Option(
        "static-max-age",
        whole,
        None,
        "How long clients may keep these files without asking (Cache-Control: max-age); left out: not said",
        "S",
        Bounds(0, 31536000),  # a year is as good as for ever (RFC 2616, 14.21)
    ),
    Option(
        "async-request-worker-factor",
        seconds,
        2.0,
        "event: connections accepted beyond the threads, per idle thread",
        "X",
        Bounds(0.1, 10000),
    ),
    Option("access-log", text, "", "Where the access log goes; - is standard output", "PATH|-"),
    Option(
        "access-log-format",
        Choice((COMMON, COMBINED, JSON)),
        COMMON,
        "Lines of the access log; json has the request's time, its wait, slot and id too",
        "common|combined|json",
    ),
    Option(
        "extended-status", switch, False, "Show whole request lines and clients in /server-status", "BOOL"
    ),
    Option(
        "hostname-lookups",
        switch,
        False,
        "Look up the names of clients, for REMOTE_HOST and the log",
        "BOOL",
    ),
    Option("control-keys", text, "", "Folder with the control keys `current` and `previous`", "DIR"),
    Option("pod-uid", text, "", "The UID of the pod, part of every control signature", "UID"),
    Option("socket-mode", mode, 0o660, "Permissions of a Unix socket's file, in octal", "MODE"),
    Option(
        "socket-owner",
        text,
        "",
        "Owner of a Unix socket's file; left out: the user the worker runs as",
        "USER[:GROUP]",
    ),
    Option(
        "tls-certificate", text, "", "PEM file with the certificate and its chain: HTTPS is served", "FILE"
    ),
    Option("tls-key", text, "", "PEM file with the key; left out: it is in that of the certificate", "FILE"),
    Option("tls-min-version", Choice(("1.2", "1.3")), "1.2", "The oldest TLS spoken", "1.2|1.3"),
    Option(
        "tls-client-ca",
        text,
        "",
        "PEM file with certificates: only clients are let in that have one signed by one of them",
        "FILE",
    ),
    Option(
        "trusted-proxies",
        texts,
        (),
        "Proxies that are believed when they name the client: networks; `unix`: who comes by a Unix socket",
        "CIDR",
    ),
    Option(
        "forwarded-header",
        Choice((AUTO, CUSTOM, STANDARD)),
        AUTO,
        "Fields trusted proxies write: X-Forwarded-For, -Proto, -Host, or Forwarded; auto: what there is",
        "auto|x-forwarded|forwarded",
    ),
    Option(
        "proxy-protocol",
        switch,
        False,
        "Expect a header of the PROXY protocol (v1 or v2) on every connection of a trusted proxy",
        "BOOL",
    ),
    Option("pid-file", text, "", "File to write the process number of the supervisor to", "FILE"),
    Option("user", text, "", "User to become once the addresses are bound; needs root", "NAME|UID"),
    Option("group", text, "", "Group to become; left out: the user's", "NAME|GID"),
    Option(
        "umask", mode, None, "Permissions that new files do not get, in octal; left out: as it is", "MASK"
    ),
    Option(
        "preload",
        switch,
        False,
        "Import the application once, in the supervisor: less memory and quicker replacements, but new code "
        "only by a new start",
        "BOOL",
    ),
    Option("hooks", text, "", "Module whose functions are called as servers come and go", "MODULE"),
    Option("chdir", text, "", "Folder to change to, and to import the application from", "DIR"),
)
