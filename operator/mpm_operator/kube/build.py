"""From a spec to what shall be there: the children, and the directives that are in force with them.

They are the spec's own, unless its template never got ready: then the last good one is in force again, until
the spec or the application's code changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from mpm_operator.core.directives import Correction, Effective, normalise
from mpm_operator.engines import engine as engine_named
from mpm_operator.manifests import Children, Owner, children
from mpm_operator.manifests.deployment import digest
from mpm_operator.manifests.rollout import Failure, failure_of, generation_of, good_of, is_stuck, restored

from .resources import CONFIGMAPS, Key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mpm_operator.core.spec import WebServerSpec

    from .caches import Caches
    from .keys import MasterKeys
    from .observe import Observer
    from .resources import Object


_NEVER_IN_A_TEMPLATE = ("replicas", "scaling", "paused", "service")
"""Parts of a spec whose change is no new attempt: an HPA writes one of them every few seconds."""


class NoCode(Exception):
    """The ConfigMap with the application's code is not there; the text says which."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one WebServer shall be now."""

    effective: Effective
    corrections: tuple[Correction, ...]
    children: Children
    rolled_back: str = ""
    """Why this is not what the spec asks for; empty = it is."""


class Builder:
    """Builds children; reads the caches, changes nothing."""

    def __init__(
        self,
        caches: Caches,
        observer: Observer,
        keys: MasterKeys,
        default_image: str,
        progress_deadline: int,
    ) -> None:
        self._caches = caches
        self._observer = observer
        self._keys = keys
        self._default_image = default_image
        self._deadline = progress_deadline
        self._built: dict[tuple[Key, bool], tuple[tuple[object, ...], Object | None, Wanted]] = {}
        """What was built last, of which inputs and which cached Deployment: as the spec asks for, and (False)
        in place of that."""

    def forget(self, key: Key) -> None:
        for as_asked in (True, False):
            self._built.pop((key, as_asked), None)

    def build(
        self,
        key: Key,
        owner: Owner,
        spec: WebServerSpec,
        running: Object | None,
        replicas: int | None,
    ) -> Wanted:
        """Return what shall be there; `replicas` only for a Deployment that is made now. Raises NoCode."""
        app_data = self._app_data(key, spec)
        built = self._children(key, owner, spec, app_data, running, replicas)
        if running is None:
            return built
        failure = self._failure(key, spec, built.children, running)
        good = restored(spec, good_of(running)) if failure is not None else None
        if failure is None or good is None:
            return built
        again = self._children(key, owner, good, self._app_data(key, good), running, replicas, failure)
        if again.children.generation == built.children.generation:
            # Only the code in the ConfigMap is new, and what it was nobody knows.
            return built
        return Wanted(again.effective, built.corrections, again.children, failure.reason)

    def _children(
        self,
        key: Key,
        owner: Owner,
        spec: WebServerSpec,
        app_data: Mapping[str, str] | None,
        running: Object | None,
        replicas: int | None,
        failure: Failure | None = None,
    ) -> Wanted:
        keys = self._keys.of(owner.uid)
        inputs = (owner, spec, app_data, replicas, failure, keys)
        place = key, failure is None
        known = self._built.get(place)
        # The cached object is another one whenever anything about the Deployment changed.
        if known is not None and known[1] is running and known[0] == inputs:
            return known[2]
        effective, corrections = normalise(spec)
        engine = engine_named(spec.engine)
        built = children(
            owner,
            spec,
            effective,
            config=engine.config(spec, effective),
            rollout=engine.rollout(spec, effective),
            arguments=engine.arguments(spec, effective),
            default_image=self._default_image,
            keys=keys,
            app_data=app_data,
            running=running,
            failure=failure,
            replicas=replicas,
            progress_deadline=self._deadline,
        )
        wanted = Wanted(effective, corrections, built)
        self._built[place] = (inputs, running, wanted)
        return wanted

    def _failure(self, key: Key, spec: WebServerSpec, built: Children, running: Object) -> Failure | None:
        """Return why the spec's own template is not to be tried (again)."""
        known = failure_of(running)
        stuck = generation_of(running) == built.generation and is_stuck(running)
        if known is None and not stuck:
            return None
        mark = f"{built.generation}/{_attempt(spec)}"
        if known is not None and known.generation == mark:
            return known
        if not stuck:
            return None
        words = "; ".join(self._observer.troubles(key)[:1]) or "see `kubectl describe pod`"
        return Failure(
            mark,
            f"no new pod became ready within {self._deadline} s ({words}); the last good pod template is "
            "back in force until the spec changes (more than its replicas, scaling or service)",
        )

    def _app_data(self, key: Key, spec: WebServerSpec) -> Mapping[str, str] | None:
        """Return a digest for each file of the app's ConfigMap; None when the spec names none."""
        if spec.app.config_map_ref is None:
            return None
        name = spec.app.config_map_ref.name
        body = self._caches[CONFIGMAPS].get(key.namespace, name)
        if body is None:
            raise NoCode(
                f"spec.app.configMapRef: ConfigMap `{name}` must exist in namespace `{key.namespace}`"
            )
        digests: Mapping[str, str] = body.get("digests") or (body.get("data") or {})
        return digests


def _attempt(spec: WebServerSpec) -> str:
    """Return a digest of what may be why a rollout fails; metadata.generation moves with everything else."""
    whole = msgspec.to_builtins(spec)
    return digest({name: value for name, value in whole.items() if name not in _NEVER_IN_A_TEMPLATE})
