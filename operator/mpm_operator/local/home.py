"""The temporary folder of a run: what ConfigMap and Secret are in a cluster."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from mpm_operator.engines.builtin import CONFIG_FILE, BuiltinEngine
from mpm_operator.manifests.secret import ControlKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mpm_operator.core.directives import Effective
    from mpm_operator.core.spec import WebServerSpec

    from .document import Document


_KEY_BYTES = 32


class Home:
    """Files that the pods of one run read."""

    def __init__(self, root: Path, document: Document, folder: Path, process_limit: int) -> None:
        """Write the control key and (with `app.configMapRef`) the app under `root`; settings: `configure`.

        `folder` is where the app is imported from when it comes from no ConfigMap. `process_limit`: most
        servers that an edit may give to a pod.
        """
        self._process_limit = process_limit
        key = ControlKey(1, secrets.token_bytes(_KEY_BYTES))
        self.key = key.secret
        self._app_folder = folder
        self._keys = root / "control"
        _write(self._keys, {"current": str(key).encode()})
        self._config = root / CONFIG_FILE
        if document.app_files is not None:
            self._app_folder = root / "app"
            _write(self._app_folder, document.app_files)

    def configure(self, spec: WebServerSpec, effective: Effective) -> None:
        """Write the settings that a pod starts with; replaced whole, for a pod may be reading them."""
        fresh = self._config.with_suffix(".new")
        fresh.write_text(BuiltinEngine().config(spec, effective)[CONFIG_FILE])
        fresh.replace(self._config)

    def command(self, uid: str, listener_fd: int) -> list[str]:
        """Arguments of Python for a supervisor.

        `-P`: the folder we stand in must not hide the standard library from the worker; the app's folder
        comes in by `--chdir`.
        """
        return [
            *("-P", "-m", "mpm_worker"),
            *("--bind", f"fd://{listener_fd}"),
            *("--admin", "127.0.0.1:0"),
            *("--config", str(self._config)),
            *("--server-limit", str(self._process_limit)),
            *("--control-keys", str(self._keys)),
            *("--pod-uid", uid),
            *("--chdir", str(self._app_folder)),
        ]


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(mode=0o700)
    for name, content in files.items():
        (folder / name).write_bytes(content)
