"""--static from the command line, the environment and a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mpm_worker.options import OptionError, load
from mpm_worker.static.mount import Mount

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    return tmp_path


def test_it_may_be_given_several_times_and_in_every_way(place: Path) -> None:
    expected = (Mount("/x", f"{place}/a"), Mount("/y", f"{place}/b"))
    flags = ["--static", f"/x={place}/a", f"--static=/y={place}/b"]
    assert load([*flags, "m:app"], {}).static == expected
    assert load(["m:app"], {"MPM_STATIC": f"/x={place}/a,/y={place}/b"}).static == expected
    config = place / "mpm.toml"
    config.write_text(f'app = "m:app"\nstatic = ["/x={place}/a", "/y={place}/b"]\n')
    assert load(["--config", str(config)], {}).static == expected


def test_a_relative_folder_is_seen_from_chdir(place: Path) -> None:
    assert load(["--chdir", str(place), "--static", "/x=a", "m:app"], {}).static == (
        Mount("/x", f"{place}/a"),
    )


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--static", "/x=/no/such"], "--static: /no/such is no folder"),
        (["--static", "x"], "--static: /PREFIX=DIR is expected, not 'x'"),
        (["--static", "/x=/tmp", "--static", "/x/=/etc"], "--static: the prefix /x is given twice"),
        (["--spool-dir", "/no/such"], "--spool-dir /no/such: no such folder"),
        (["--spool-threshold", "-1"], "expected a whole number"),
    ],
)
def test_what_cannot_be_used_is_told(flags: list[str], complaint: str) -> None:
    with pytest.raises(OptionError) as caught:
        load([*flags, "m:app"], {})
    assert complaint in str(caught.value)
