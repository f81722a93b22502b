"""The SVG: well formed, one line a series, and a spike stays visible however long the run."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from stand_ins import effective, pods

from mpm_operator.simulator.plot import TOP, svg
from mpm_operator.simulator.run import simulate
from mpm_operator.simulator.scenario import Scenario


def picture(rates: list[float]) -> ET.Element:
    result = simulate(rates, effective(), Scenario(warm_up_s=20), pods(lambda now: 1))
    return ET.fromstring(svg(result, "a <trace> & more"))


def test_is_well_formed_and_has_every_series() -> None:
    root = picture([5.0] * 30)
    assert len(root.findall("{*}path")) == 5
    assert "a <trace> & more" in [text.text for text in root.findall("{*}text")]


def test_one_second_among_many_is_drawn() -> None:
    rates = [1.0] * 3000
    rates[1234] = 100.0
    load = picture(rates).findall("{*}path")[0].get("d") or ""
    heights = {float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", load)}
    assert len(heights) == 2
    assert min(heights) == TOP  # the top of the first panel: 100 of 100
