from __future__ import annotations

import base64
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from mpm_operator.manifests import ControlKeys, control_key, scale
from mpm_operator.manifests.secret import hkdf

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_operator.manifests import Children, Owner


def test_names_are_those_of_the_contract(build: Callable[..., Children]) -> None:
    named = {child["kind"]: child["metadata"]["name"] for child in build().in_order()}
    assert named == {
        "ConfigMap": "shop-mpm",
        "Secret": "shop-mpm-control",
        "Service": "shop",
        "PodDisruptionBudget": "shop",
        "Deployment": "shop",
    }


def test_every_child_is_collected_with_its_owner_and_found_by_its_label(
    build: Callable[..., Children], owner: Owner
) -> None:
    for child in build().in_order():
        (reference,) = child["metadata"]["ownerReferences"]
        assert (reference["kind"], reference["uid"], reference["controller"]) == (
            "WebServer",
            owner.uid,
            True,
        )
        assert child["metadata"]["namespace"] == "market"
        assert child["metadata"]["labels"]["mpm-operator.io/webserver"] == "shop"


def test_pods_are_selected_by_a_label_they_have(build: Callable[..., Children]) -> None:
    built = build()
    labels = built.deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (
        built.deployment["spec"]["selector"]["matchLabels"],
        built.service["spec"]["selector"],
        built.pod_disruption_budget["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()


def test_replicas_are_in_the_scale_managers_document_and_nowhere_else(
    build: Callable[..., Children], owner: Owner
) -> None:
    assert "replicas" not in build({"replicas": 3}).deployment["spec"]
    assert scale(owner, 3)["spec"] == {"replicas": 3}
    assert scale(owner, 3, deployment_uid="d-1")["metadata"]["uid"] == "d-1"


def test_the_service_leads_to_the_port_of_requests(build: Callable[..., Children]) -> None:
    built = build({"service": {"port": 8000, "type": "NodePort"}})
    (port,) = built.service["spec"]["ports"]
    (container,) = built.deployment["spec"]["template"]["spec"]["containers"]
    target = {entry["name"]: entry["containerPort"] for entry in container["ports"]}[port["targetPort"]]
    assert (built.service["spec"]["type"], port["port"], target) == ("NodePort", 8000, 8080)


def test_settings_are_mounted_where_the_command_line_looks_for_them(build: Callable[..., Children]) -> None:
    built = build({"mpm": {"threadsPerChild": 7}})
    spec = built.deployment["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    command = container["command"]
    folder, _, file = command[command.index("--config") + 1].rpartition("/")
    volume = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}[folder]
    (source,) = [entry["configMap"]["name"] for entry in spec["volumes"] if entry["name"] == volume]
    assert source == built.config_map["metadata"]["name"]
    assert tomllib.loads(built.config_map["data"][file])["threads"] == 7


def test_code_from_a_config_map_is_mounted_and_imported_from_there(build: Callable[..., Children]) -> None:
    spec = {"app": {"module": "app:app", "configMapRef": {"name": "shop-code"}}}
    template = build(spec, app_data={"app.py": "..."}).deployment["spec"]["template"]["spec"]
    (container,) = template["containers"]
    command = container["command"]
    folder = command[command.index("--chdir") + 1]
    volume = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}[folder]
    assert {"name": volume, "configMap": {"name": "shop-code"}} in template["volumes"]


def test_pods_are_not_built_on_a_config_map_that_is_missing(build: Callable[..., Children]) -> None:
    with pytest.raises(ValueError, match=r"spec\.app\.configMapRef"):
        build({"app": {"module": "app:app", "configMapRef": {"name": "gone"}}})


def test_the_image_left_out_is_the_workers(build: Callable[..., Children]) -> None:
    def image(spec: dict[str, str]) -> str:
        return build(spec).deployment["spec"]["template"]["spec"]["containers"][0]["image"]

    assert image({}) == "mpm-worker:1"
    assert image({"image": "shop:2"}) == "shop:2"


def test_pods_meet_the_restricted_pod_security_standard(build: Callable[..., Children]) -> None:
    spec = build().deployment["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert spec["automountServiceAccountToken"] is False


def test_pods_are_spread_over_zones_and_nodes_and_an_addition_keeps_that(
    build: Callable[..., Children],
) -> None:
    def keys(**spec: Any) -> dict[str, str]:
        template = build({"podTemplate": {"spec": spec}}).deployment["spec"]["template"]["spec"]
        return {one["topologyKey"]: one["whenUnsatisfiable"] for one in template["topologySpreadConstraints"]}

    ours = {"topology.kubernetes.io/zone": "ScheduleAnyway", "kubernetes.io/hostname": "ScheduleAnyway"}
    assert keys() == ours
    theirs = {"topologyKey": "rack", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    assert keys(topologySpreadConstraints=[theirs]) == ours | {"rack": "DoNotSchedule"}


def test_more_servers_get_more_memory_and_there_is_always_a_limit(build: Callable[..., Children]) -> None:
    def limit(processes: int) -> int:
        spec = build({"mpm": {"processesPerPod": processes}}).deployment["spec"]["template"]["spec"]
        return int(spec["containers"][0]["resources"]["limits"]["memory"].removesuffix("Mi"))

    assert 0 < limit(1) < limit(4)


@pytest.mark.parametrize(
    ("secret", "salt", "info", "expected"),
    [
        (
            "0b" * 22,
            "000102030405060708090a0b0c",
            "f0f1f2f3f4f5f6f7f8f9",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf",
        ),
        ("0b" * 22, "", "", "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"),
    ],
)
def test_keys_are_derived_as_rfc_5869_says(secret: str, salt: str, info: str, expected: str) -> None:
    """Test cases 1 and 3 of its appendix A, first block."""
    derived = hkdf(bytes.fromhex(secret), bytes.fromhex(salt), bytes.fromhex(info))
    assert derived.hex() == expected


def test_a_key_differs_by_master_by_webserver_and_by_version() -> None:
    keys = {
        control_key(master, uid, version).secret
        for master in (b"a" * 32, b"b" * 32)
        for uid in ("u-1", "u-2")
        for version in (1, 2)
    }
    assert len(keys) == 8


def test_the_secret_holds_the_previous_key_only_while_keys_are_rotated(
    build: Callable[..., Children],
) -> None:
    first, second = control_key(b"m" * 32, "u", 1), control_key(b"m" * 32, "u", 2)

    def files(keys: ControlKeys) -> dict[str, str]:
        data = build(keys=keys).secret["data"]
        return {name: base64.b64decode(value).decode() for name, value in data.items()}

    assert files(ControlKeys(first)) == {"current": f"1:{first.secret.hex()}"}
    assert files(ControlKeys(second, first)) == {
        "current": f"2:{second.secret.hex()}",
        "previous": f"1:{first.secret.hex()}",
    }
