"""Pictures under numbers are well-formed, to scale, and within their frame."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from spanledger_dashboard.charts.colours import BLUE, GREY, RED, SKY
from spanledger_dashboard.charts.mini import HEIGHT, WIDTH, Stretch, bars, bullet, line, stretches

SVG = "{http://www.w3.org/2000/svg}"


def rectangles(svg: str) -> list[tuple[str, float, float, float, float]]:
    """Return colour, left, top, width and height of each."""
    found = ElementTree.fromstring(svg).findall(f"{SVG}rect")
    told = [each.attrib for each in found]
    return [
        (each["fill"], float(each["x"]), float(each["y"]), float(each["width"]), float(each["height"])) for each in told
    ]


def test_a_line_goes_from_left_to_right_and_from_zero() -> None:
    drawn = ElementTree.fromstring(line([0, 5, 10], BLUE)).find(f"{SVG}polyline")
    assert drawn is not None
    assert drawn.attrib["points"] == f"0.0,{HEIGHT - 2:.1f} 150.0,{HEIGHT / 2:.1f} 300.0,2.0"


@pytest.mark.parametrize("values", [[0.0, 0.0], [0.0]])
def test_nothing_is_a_line_at_the_bottom(values: list[float]) -> None:
    drawn = ElementTree.fromstring(line(values, BLUE)).find(f"{SVG}polyline")
    assert drawn is not None
    assert {point.split(",")[1] for point in drawn.attrib["points"].split()} == {f"{HEIGHT - 2:.1f}"}


def test_bars_stand_beside_the_marks_of_before_and_the_current_one_is_faint() -> None:
    svg = bars([10, 5], [20, 0], current=1)
    assert rectangles(svg) == [
        (BLUE, 0, HEIGHT - 21, 112.5, 21),
        (GREY, -18.8, 1, 150, 2),
        (BLUE, 150, HEIGHT - 10.5, 112.5, 10.5),
    ]
    faint = [each.attrib.get("fill-opacity") for each in ElementTree.fromstring(svg)]
    assert faint == [None, None, "0.5"]


def test_a_bullet_shows_spent_expected_interval_and_budget_on_one_scale() -> None:
    top = 125 * 1.04
    expected, spent, whisker, *ends, budget = rectangles(bullet(50, 100, 90, 120, 125))
    assert (expected[0], expected[3]) == (SKY, round(100 / top * WIDTH, 1))
    assert (spent[0], spent[3]) == (BLUE, round(50 / top * WIDTH, 1))
    assert (whisker[1], whisker[3]) == (round(90 / top * WIDTH, 1), round(30 / top * WIDTH, 1))
    assert [end[1] for end in ends] == [round(at / top * WIDTH - 1, 1) for at in (90, 120)]
    assert (budget[0], budget[1]) == (GREY, round(125 / top * WIDTH - 1.5, 1))


def test_a_budget_that_will_be_exceeded_is_red() -> None:
    assert rectangles(bullet(50, 100, 90, 120, 99))[-1][0] == RED
    assert len(rectangles(bullet(50, 100, 90, 120, None))) == 5


def test_a_stretch_that_began_just_now_can_be_seen_and_is_within_the_frame() -> None:
    lane, first, last = rectangles(stretches([Stretch(0.25, 0.5, BLUE), Stretch(1, 1, RED)]))
    assert (lane[1], lane[3]) == (0, WIDTH)
    assert (first[1], first[3]) == (75, 75)
    assert (last[1], last[3]) == (WIDTH - 2, 2)
