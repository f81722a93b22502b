"""Everything that one WebServer owns, built in one place and in one piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .config_map import config_map
from .deployment import PROGRESS_DEADLINE_SECONDS, deployment
from .disruption import pod_disruption_budget
from .rollout import generation_of
from .secret import secret
from .service import service

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mpm_operator.core.directives import Effective
    from mpm_operator.core.spec import WebServerSpec

    from .owner import Manifest, Owner
    from .rollout import Failure
    from .secret import ControlKeys


@dataclass(frozen=True, slots=True)
class Children:
    """The objects that the field manager `mpm-operator` applies; only a new Deployment holds `replicas`."""

    deployment: Manifest
    service: Manifest
    config_map: Manifest
    secret: Manifest
    pod_disruption_budget: Manifest
    conflicts: tuple[str, ...]
    """Fields of `spec.podTemplate` that were not used because the operator owns them, one sentence each."""

    @property
    def generation(self) -> str:
        """Hash of the pod template."""
        return generation_of(self.deployment)

    def in_order(self) -> tuple[Manifest, ...]:
        """What the pods mount comes before the pods."""
        return (
            self.config_map,
            self.secret,
            self.service,
            self.pod_disruption_budget,
            self.deployment,
        )


def children(
    owner: Owner,
    spec: WebServerSpec,
    effective: Effective,
    *,
    config: Mapping[str, str],
    rollout: Mapping[str, Any],
    default_image: str,
    keys: ControlKeys,
    app_data: Mapping[str, str] | None = None,
    running: Mapping[str, Any] | None = None,
    failure: Failure | None = None,
    arguments: Sequence[str] = (),
    replicas: int | None = None,
    progress_deadline: int = PROGRESS_DEADLINE_SECONDS,
) -> Children:
    """Build the children of `owner`.

    config: file name → content of the settings ConfigMap (`Engine.config`); changing it rolls no pod.
    rollout: the engine's settings that only a new pod can have (`Engine.rollout`).
    default_image: used when `spec.image` is left out.
    keys: content of the control Secret (`control_key`); changing it rolls no pod.
    app_data: `data` and `binaryData` of the ConfigMap that `spec.app.configMapRef` names, in one mapping; its
        change rolls the pods. A reference without data is a ValueError: whoever found the ConfigMap missing
        says so in a condition and leaves the pods alone, instead of rolling them into nothing.
    running: the live Deployment, if there is one. A shorter drain than it has is no reason to roll pods.
    failure: the rollout that was given up, while what is built here stands in for it.
    arguments: the engine's settings that only a new pod can have, for its command line (`Engine.arguments`).
    replicas: of a Deployment that is made now. With Kubernetes' default of one it would take the pods that an
        earlier one left down to one.
    progress_deadline: seconds.
    """
    if spec.app.config_map_ref is not None and app_data is None:
        raise ValueError("app_data must hold the ConfigMap that spec.app.configMapRef names")
    built, conflicts = deployment(
        owner,
        spec,
        effective,
        rollout=rollout,
        image=spec.image or default_image,
        app_data=app_data,
        running=running,
        failure=failure,
        arguments=arguments,
        progress_deadline=progress_deadline,
    )
    if replicas is not None:
        built["spec"]["replicas"] = replicas
    return Children(
        deployment=built,
        service=service(owner, spec.service),
        config_map=config_map(owner, config),
        secret=secret(owner, keys),
        pod_disruption_budget=pod_disruption_budget(owner),
        conflicts=conflicts,
    )
