"""Pictures: well-formed whatever they are given, within their frame, and spoken to who cannot see them."""

import math
from collections.abc import Callable
from html import unescape
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.charts.plot import STYLE, WIDTH, Axis, Bar, Bin, Line, bar_chart, counting_axis, histogram, line_chart

SVG = "{http://www.w3.org/2000/svg}"
SHARES = Axis("share", 0.0, 1.0, ((0.0, "0 %"), (1.0, "100 %")))
HOSTILE = ["</title><script>alert(1)</script>", '"><img src=x onerror=y>', "a & b", "\x00\x1b\ud800", "é 日本 🙂", ""]
ODD = [0.0, -1.0, 0.5, 1.0, 7.0, 1e308, -1e308, math.nan, math.inf, -math.inf]


def lines(name: str, values: list[float]) -> str:
    points = [(value, value) for value in values]
    return line_chart(name, [Line(name, points)], SHARES, counting_axis(name, max(values)))


def columns(name: str, values: list[float]) -> str:
    bins = [Bin(at, at + 1, (value, value)) for at, value in enumerate(values)]
    return histogram(name, [name, name], bins, counting_axis(name, len(values)), counting_axis(name, max(values)))


def bars(name: str, values: list[float]) -> str:
    return bar_chart(name, [Bar(name, value, value, value, name) for value in values], SHARES)


KINDS = [lines, columns, bars]


def elements(picture: str, name: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(picture).findall(f"{SVG}{name}")  # noqa: S314 - our own


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_and_nothing_else(kind: Callable[[str, list[float]], str], name: str) -> None:
    picture = kind(name, [0.5, 0.7])
    found = {element.tag.removeprefix(SVG) for element in ElementTree.fromstring(picture).iter()}  # noqa: S314

    assert found <= {"svg", "title", "text", "line", "rect", "polyline", "circle"}
    assert "<script" not in picture
    assert "<img" not in picture


@pytest.mark.parametrize("kind", KINDS)
@given(st.lists(st.one_of(st.sampled_from(ODD), st.floats()), min_size=1, max_size=6))
def test_whatever_the_values_everything_drawn_stands_within_the_frame(
    kind: Callable[[str, list[float]], str], values: list[float]
) -> None:
    picture = kind("odd", values)
    root = ElementTree.fromstring(picture)  # noqa: S314
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for element in root.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert 0 <= float(element.get(name, 0)) <= width
        for name in ("y", "y1", "y2", "cy"):
            assert 0 <= float(element.get(name, 0)) <= height
        assert float(element.get("width", 0)) >= 0
        assert float(element.get("height", 0)) >= 0
    assert "nan" not in picture
    assert "inf" not in picture


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(line_chart("t", [], SHARES, SHARES), id="lines"),
        pytest.param(histogram("t", [], [], SHARES, SHARES), id="histogram"),
        pytest.param(bar_chart("t", [], SHARES), id="bars"),
    ],
)
def test_nothing_to_show_says_so(picture: str) -> None:
    assert "no data" in [element.text for element in elements(picture, "text")]


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_element_is_the_title_that_screen_readers_speak(kind: Callable[[str, list[float]], str]) -> None:
    root = ElementTree.fromstring(kind("Logins & attacks", [1.0]))  # noqa: S314

    assert root.attrib["role"] == "img"
    assert (root[0].tag, root[0].text) == (f"{SVG}title", "Logins & attacks")


def test_a_line_goes_through_its_points_and_breaks_where_one_is_missing() -> None:
    points = [(0.0, 0.0), (0.5, 1.0), (0.6, math.nan), (0.7, 0.5), (0.8, math.nan), (0.9, 0.1), (1.0, 0.2)]
    picture = line_chart("t", [Line("l", points)], SHARES, SHARES)

    assert [len(element.attrib["points"].split()) for element in elements(picture, "polyline")] == [2, 2]
    assert len(elements(picture, "circle")) == 1, "a single point is a dot"


def test_a_bar_is_as_long_as_its_value_and_its_interval_lies_around_its_end() -> None:
    picture = bar_chart("t", [Bar("half", 0.5, 0.4, 0.7, "50 %"), Bar("unknown", None, None, None, "")], SHARES)
    track, bar, empty = (float(element.attrib["width"]) for element in elements(picture, "rect"))
    interval, *ends = [element for element in elements(picture, "line") if element.attrib["class"] == "interval"]
    shares = [(float(interval.attrib[name]) - 12) / track for name in ("x1", "x2")]

    assert bar / track == pytest.approx(0.5, abs=1e-3)
    assert empty == track, "what is unknown has a track and no bar"
    assert shares == pytest.approx([0.4, 0.7], abs=1e-3)
    assert len(ends) == 2


def test_columns_of_a_bin_stand_side_by_side_on_the_ground() -> None:
    bins = [Bin(0, 1, (0.5, None)), Bin(1, 2, (0.25, 1.0))]
    picture = histogram("t", ["a", "b"], bins, counting_axis("x", 2), SHARES)
    drawn = [element.attrib for element in elements(picture, "rect") if element.attrib["height"] != "12"]
    grounds = {round(float(box["y"]) + float(box["height"]), 1) for box in drawn}

    assert [box["class"] for box in drawn] == ["fill s0", "fill s0", "fill s1"]
    assert len(grounds) == 1
    assert float(drawn[0]["height"]) == 2 * float(drawn[1]["height"])
    assert float(drawn[1]["x"]) + float(drawn[1]["width"]) == pytest.approx(float(drawn[2]["x"]), abs=0.02)


@pytest.mark.parametrize(
    ("highest", "marks"),
    [
        (0, ["0", "1"]),
        (math.nan, ["0", "1"]),
        (1, ["0", "1"]),
        (4, ["0", "1", "2", "3", "4"]),
        (7, ["0", "2", "4", "6", "8"]),
        (100, ["0", "20", "40", "60", "80", "100"]),
        (3_000_000, ["0", "1e+06", "2e+06", "3e+06"]),
    ],
)
def test_an_axis_counts_in_round_numbers(highest: float, marks: list[str]) -> None:
    axis = counting_axis("n", highest)

    assert [text for _, text in axis.ticks] == marks
    assert axis.high == axis.ticks[-1][0]


def test_a_logarithmic_axis_gives_each_power_the_same_room() -> None:
    axis = Axis("friction", 0.001, 1.0, (), logarithmic=True)

    assert [axis.at(value) for value in (0.0, 0.001, 0.01, 0.1, 1.0)] == pytest.approx([0, 0, 1 / 3, 2 / 3, 1])


def test_a_long_name_is_cut_and_a_short_one_stays() -> None:
    told = [unescape(element.text or "") for element in elements(bars("n" * 60, [0.5]), "text")]

    assert "n" * 35 + "…" in told
    assert max(len(text) for text in told if "…" in text) <= WIDTH / 10


def test_each_series_has_a_colour_in_the_light_and_in_the_dark() -> None:
    for at in range(8):
        assert STYLE.count(f".s{at} {{ --ink:") == 2
    many = line_chart("t", [Line(str(at), [(0, 0), (1, 1)]) for at in range(20)], SHARES, SHARES)
    assert {element.attrib["class"] for element in elements(many, "polyline")} == {f"line s{at}" for at in range(8)}
