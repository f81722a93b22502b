"""The command line and the environment of `mpm-operator`."""

from __future__ import annotations

import pytest

from mpm_operator.kube.options import options


def test_the_environment_gives_what_the_command_line_leaves_out() -> None:
    chosen, args = options(
        ["--lease-name=other"],
        {
            "MPM_OPERATOR_WORKER_IMAGE": "worker:1",
            "MPM_OPERATOR_LEASE_NAMESPACE": "system",
            "MPM_OPERATOR_LEASE_NAME": "given",
            "MPM_OPERATOR_LEASE_DURATION_SECONDS": "30",
            "MPM_OPERATOR_NAMESPACE": "a, b,a",
            "MPM_OPERATOR_METRICS_PORT": "9999",
            "POD_NAME": "operator-x",
        },
    )
    assert (chosen.worker_image, chosen.lease_namespace, chosen.lease_name) == ("worker:1", "system", "other")
    assert chosen.lease.duration == 30.0
    assert chosen.namespaces == ("a", "b")
    assert chosen.metrics_port == 9999
    assert chosen.identity.startswith("operator-x_")
    assert args.log_format == "json"


def test_each_start_has_a_name_of_its_own() -> None:
    names = {options(["--worker-image=w"], {"POD_NAME": "p"})[0].identity for _ in range(5)}
    assert len(names) == 5


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([], "--worker-image"),
        (["--worker-image=w", "--lease-renew-seconds=20"], "0 < retry"),
        (["--worker-image=w", "--log-format=xml"], "--log-format"),
        (["--worker-image=w", "--metrics-port=many"], "--metrics-port"),
    ],
)
def test_a_wrong_option_ends_with_status_2_and_a_sentence(
    argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        options(argv, {})
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err
