"""What other servers call our options: who comes from them is told the name it has here."""

from __future__ import annotations

from typing import Final

ELSEWHERE: Final = {
    # gunicorn
    "access-logfile": "access-log",
    "access-logformat": "access-log-format",
    "b": "bind",
    "backlog": "listen-backlog",
    "c": "config",
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
    "ssl-certificate-file": "tls-certificate",
    "ssl-certificate-key-file": "tls-key",
    "trust-proxy": "trusted-proxies",
    "url-alias": "static",
    "working-directory": "chdir",
}
