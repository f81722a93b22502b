"""What other servers call our options, and what stands here for those that we do not have."""

from __future__ import annotations

from typing import Final

ELSEWHERE: Final = {
    # gunicorn
    "access-logfile": "access-log",
    "access-logformat": "access-log-format",
    "b": "bind",
    "backlog": "listen-backlog",
    "c": "config",
    "ca-certs": "tls-client-ca",
    "certfile": "tls-certificate",
    "forwarded-allow-ips": "trusted-proxies",
    "k": "mpm",
    "keyfile": "tls-key",
    "max-requests": "max-requests-per-child",
    "max-requests-jitter": "max-requests-per-child",
    "p": "pid-file",
    "pid": "pid-file",
    "preload-app": "preload",
    "proxy-allow-from": "trusted-proxies",
    "pythonpath": "chdir",
    "w": "processes",
    "worker-class": "mpm",
    "worker-tmp-dir": "spool-dir",
    "workers": "processes",
    # uWSGI
    "chmod-socket": "socket-mode",
    "chown-socket": "socket-owner",
    "gid": "group",
    "harakiri": "request-timeout",
    "http": "bind",
    "http-socket": "bind",
    "https": "bind",
    "listen": "listen-backlog",
    "logto": "access-log",
    "module": "app",
    "pidfile": "pid-file",
    "pp": "chdir",
    "reload-on-rss": "max-rss",
    "socket": "bind",
    "static-expires": "static-max-age",
    "static-map": "static",
    "stats": "admin",
    "uid": "user",
    "wsgi-file": "app",
    # mod_wsgi-express
    "access-log-name": "access-log",
    "host": "bind",
    "maximum-requests": "max-requests-per-child",
    "port": "bind",
    "shutdown-timeout": "graceful-timeout",
    "ssl-ca-certificate-file": "tls-client-ca",
    "ssl-certificate-file": "tls-certificate",
    "ssl-certificate-key-file": "tls-key",
    "trust-proxy": "trusted-proxies",
    "url-alias": "static",
    "working-directory": "chdir",
}

WITHOUT: Final = {
    # gunicorn
    "D": "systemd or a container starts it in the background",
    "capture-output": "what an application prints is not caught",
    "daemon": "systemd or a container starts it in the background",
    "error-logfile": "errors go to standard error",
    "log-file": "errors go to standard error",
    "log-level": "there are no levels",
    "reload": "send HUP for new code",
    # uWSGI
    "die-on-term": "TERM drains and ends",
    "enable-threads": "applications may always start threads",
    "lazy-apps": "each process imports the application, unless --preload is on",
    "master": "there always is a supervisor",
    "py-autoreload": "send HUP for new code",
    "touch-reload": "send HUP for new code",
    "vacuum": "files of sockets are always removed",
    # mod_wsgi-express
    "log-to-terminal": "errors go to standard error",
    "reload-on-changes": "send HUP for new code",
}
