"""Evaluation: figures against hand-made tables and scipy, labels, what is left out, and the command."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from riskengine.cli import main
from riskengine.document.share import share
from riskengine.document.terminal import COLUMNS, text_lines
from riskengine.errors import InvalidInput
from riskengine.evaluate.curve import Point, at_friction, auc, roc, tally
from riskengine.evaluate.evaluation import Evaluation, bands, evaluate, friction, precision
from riskengine.evaluate.labels import Label, read_labels
from riskengine.evaluate.page import page
from riskengine.evaluate.sample import Login, Sample, demanded_by_resource, draw
from riskengine.evaluate.section import Provenance, facts, sections
from riskengine.event import DAY_MS, Event
from riskengine.explain import decided
from riskengine.policy.parse import parse
from riskengine.replay.lines import Line
from riskengine.settings import package_files
from riskengine.store.memory import MemoryStore
from tests.doors import ADDRESSES, EPOCH, arrivals_of, engine_over
from tests.fixtures_geo import World

ROOT = Path(__file__).parent.parent
SCORES = st.lists(st.integers(0, 1000), min_size=1, max_size=60)
ABOUT = Provenance(
    logs=["a.ndjson"],
    labels="b.csv",
    policy="default",
    policy_version="0123abcd",
    mode="enforce",
    data="free data",
    data_date="2026-03-01",
    warm_up_days=0,
    command="riskengine …",
)


# --- shares and curves --------------------------------------------------------------------------------------------


@given(st.integers(0, 5000), st.integers(1, 5000))
def test_intervals_are_those_of_scipy(count: int, of: int) -> None:
    assume(count <= of)
    found = share(count, of)
    expected = stats.binomtest(count, of).proportion_ci(0.95, method="wilson")

    assert found.value == count / of
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_share_of_nothing_is_no_data() -> None:
    found = share(0, 0)

    assert (found.value, found.low, found.high) == (None, None, None)


@given(SCORES, SCORES)
def test_the_area_below_the_curve_is_that_of_scipy_and_of_the_curve_drawn(good: list[int], bad: list[int]) -> None:
    found = auc(tally(good), tally(bad))
    by_ranks = stats.mannwhitneyu(bad, good, method="asymptotic").statistic / (len(good) * len(bad))
    curve = [(0.0, 0.0), *((point.friction, point.recall) for point in roc(tally(good), tally(bad)))]
    drawn = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(curve))

    assert found == pytest.approx(by_ranks, abs=1e-12)
    assert found == pytest.approx(drawn, abs=1e-12)


@pytest.mark.parametrize(
    ("good", "bad", "area"),
    [
        pytest.param([0, 100], [500, 900], 1.0, id="told_apart"),
        pytest.param([500, 900], [0, 100], 0.0, id="the_wrong_way_round"),
        pytest.param([400], [400], 0.5, id="all_alike"),
        pytest.param([0, 400, 400], [400, 1000], (1 + 2 / 2 + 3) / 6, id="ties_count_half"),
        pytest.param([], [400], None, id="no_legitimate_login"),
        pytest.param([400], [], None, id="no_attack"),
    ],
)
def test_the_area_is_the_share_of_pairs_in_the_right_order(good: list[int], bad: list[int], area: float | None) -> None:
    assert auc(tally(good), tally(bad)) == area


def test_the_curve_goes_from_the_highest_score_to_the_lowest() -> None:
    assert roc(tally([0, 0, 0, 400]), tally([400, 900])) == [
        Point(90.0, 0.0, 0.5),
        Point(40.0, 0.25, 1.0),
        Point(0.0, 1.0, 1.0),
    ]
    assert roc(tally([]), tally([1])) == roc(tally([1]), tally([])) == []


@pytest.mark.parametrize(
    ("good", "bad", "caught", "threshold"),
    [
        pytest.param([0] * 999 + [500], [400, 600], 2, 0.1, id="one_of_a_thousand_may_be_stopped"),
        pytest.param([0] * 998 + [500, 500], [400, 600], 1, 50.1, id="two_are_too_many"),
        pytest.param([0] * 10, [0, 300], 1, 0.1, id="of_few_none_may_be"),
        pytest.param([1000] * 10, [1000], 0, None, id="no_threshold_is_high_enough"),
        pytest.param([], [500], 0, None, id="nobody_to_bother_is_no_data"),
    ],
)
def test_a_friction_buys_so_many_attacks(good: list[int], bad: list[int], caught: int, threshold: float | None) -> None:
    found = at_friction(tally(good), tally(bad), Fraction(1, 1000))

    assert (found.recall.count, found.from_score) == (caught, threshold)
    assert found.recall.of == (len(bad) if good else 0)


@given(SCORES, SCORES, st.sampled_from([Fraction(1, 1000), Fraction(1, 10), Fraction(1, 3)]))
def test_no_threshold_within_the_friction_catches_more(good: list[int], bad: list[int], most: Fraction) -> None:
    stopped = {at: sum(score >= at for score in good) for at in range(1002)}
    best = max(sum(score >= at for score in bad) for at in stopped if Fraction(stopped[at], len(good)) <= most)

    assert at_friction(tally(good), tally(bad), most).recall.count == best


@pytest.mark.parametrize(
    ("rate", "bothered", "caught", "expected"),
    [
        ((1, 10_000), (100, 10_000), (60, 100), 0.006),
        ((1, 10_000), (10, 10_000), (7, 100), 0.007),
        ((1, 10_000), (10, 10_000), (100, 100), 0.091),
        ((1, 10_000), (1, 10_000), (50, 100), 0.333),
        ((1, 90_000), (100, 10_000), (60, 100), 0.0007),
    ],
)
def test_precision_is_what_a_base_rate_leaves_of_recall(
    rate: tuple[int, int], bothered: tuple[int, int], caught: tuple[int, int], expected: float
) -> None:
    found = precision(Fraction(*rate), share(*caught), share(*bothered))

    assert found.value == pytest.approx(expected, rel=0.05)
    assert None not in (found.low, found.value, found.high)
    assert (found.low or 0) < (found.value or 0) < (found.high or 0)


def test_precision_without_attacks_without_logins_or_without_any_alert_is_no_data() -> None:
    rate = Fraction(1, 1000)

    assert precision(rate, share(0, 0), share(1, 10)).value is None
    assert precision(rate, share(1, 10), share(0, 0)).low is None
    assert precision(rate, share(0, 10), share(0, 10)).value is None


def test_a_score_on_the_edge_belongs_to_the_band_above_and_the_full_score_to_the_last() -> None:
    found = bands(tally([0, 99, 100, 399]), tally([100, 400, 999, 1000]), 100)

    assert [(band.legitimate, band.attacks) for band in found] == [
        (2, 0), (1, 1), (0, 0), (1, 0), (0, 1), (0, 0), (0, 0), (0, 0), (0, 0), (0, 2)
    ]  # fmt: skip
    assert (found[1].low, found[1].high, found[1].share.value, found[2].share.value) == (10.0, 20.0, 0.5, None)


# --- which logins -------------------------------------------------------------------------------------------------


def answer(decision: str = "allow", score: float = 0.0, **given: Any) -> dict[str, Any]:
    return {
        "decision": decision,
        "would_be": None,
        "score": score,
        "reasons": [],
        "signals": {},
        "maturity": "ripe",
        "policy": {"step_up_at": 40.0},
        "data": {"source": "free data", "date": "2026-03-01"},
    } | given


def reason(code: str, points: float, **evidence: Any) -> dict[str, Any]:
    return {"code": code, "points": points, "evidence": evidence}


RESOURCE, DEVICE = reason("sensitive_resource", 45.0, resource="payroll"), reason("new_device", 10.0)
BY_RESOURCE, BY_HOUR = reason("rule.payroll", 0.0, resource=True), reason("rule.night", 0.0)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(answer("step_up", 55.0, reasons=[RESOURCE, DEVICE]), True, id="the_rest_would_not_have_asked"),
        pytest.param(answer("step_up", 85.0, reasons=[RESOURCE, DEVICE]), False, id="the_rest_reaches_the_threshold"),
        pytest.param(answer("step_up", 84.9, reasons=[RESOURCE, DEVICE]), True, id="the_rest_stays_just_below_it"),
        pytest.param(answer("allow", 55.0, reasons=[RESOURCE, DEVICE]), False, id="it_was_allowed"),
        pytest.param(answer("step_up", 50.0, reasons=[DEVICE]), False, id="no_resource_at_all"),
        pytest.param(answer("step_up", 10.0, reasons=[BY_RESOURCE, DEVICE]), True, id="a_rule_on_the_resource"),
        pytest.param(answer("deny", 10.0, reasons=[BY_RESOURCE]), True, id="a_rule_on_the_resource_that_denies"),
        pytest.param(answer("step_up", 60.0, reasons=[BY_RESOURCE]), False, id="the_score_asks_too"),
        pytest.param(answer("step_up", 55.0, reasons=[BY_HOUR, RESOURCE]), False, id="another_rule_asks_too"),
        pytest.param(answer("step_up", 10.0, reasons=[BY_HOUR]), False, id="another_rule_asks"),
        pytest.param(
            answer("step_up", 55.0, reasons=[RESOURCE], signals={"user_at_risk": 1.0}), False, id="the_user_is_at_risk"
        ),
        pytest.param(
            answer("allow", 55.0, reasons=[RESOURCE], would_be="step_up"), True, id="observing_what_it_would_have_been"
        ),
    ],
)
def test_what_a_resource_alone_demanded_is_told_apart(found: dict[str, Any], expected: bool) -> None:
    assert demanded_by_resource(found) is expected


@pytest.mark.parametrize(
    ("place", "resource", "rule", "expected"),
    [
        pytest.param("new_york", "payroll", "", True, id="a_first_login_to_something_sensitive"),
        pytest.param("tor", "payroll", "", False, id="the_network_asks_too"),
        pytest.param("tor", None, "", False, id="the_network_asks"),
        pytest.param("new_york", "wiki", 'resources = ["wi*"]', True, id="a_rule_on_the_resource"),
        pytest.param("new_york", "wiki", 'actions = ["login"]', False, id="a_rule_on_something_else"),
        pytest.param("new_york", "payroll", 'actions = ["login"]', False, id="a_rule_on_something_else_too"),
    ],
)
def test_what_the_engine_answers_shows_what_a_resource_alone_demanded(
    place: str, resource: str | None, rule: str, expected: bool, world: World
) -> None:
    text = (package_files("data") / "policy.toml").read_text()
    if rule:
        text += f'\n[[rules]]\nname = "one"\nwhen = {{ {rule} }}\nat_least = "step_up"\n'
    event = Event("ana", ADDRESSES[place], event_id="e", occurred_at=EPOCH, resource=resource)

    [found] = engine_over(MemoryStore(), world, parse(text)).run(arrivals_of([event]))

    assert isinstance(found, dict)
    assert (found["decision"], demanded_by_resource(found)) == ("step_up", expected)


def test_in_observe_mode_what_would_have_been_is_measured() -> None:
    assert decided(answer("allow", would_be="deny")) == "deny"
    assert decided(answer("step_up")) == "step_up"


def drawn(*events: Event, warm_up: int = 0, labels: dict[str, str] | None = None) -> Sample:
    lines = [Line(event, "log", at + 1, at) for at, event in enumerate(events)]
    known = {key: Label(name, at + 2) for at, (key, name) in enumerate((labels or {}).items())}
    return draw(lines, [(line.number, answer()) for line in lines], known, warm_up)


def event(key: str, day: float, outcome: str = "success") -> Event:
    return Event("ana", "192.0.2.1", key, int(day * DAY_MS), outcome=outcome)


def test_an_event_that_is_not_measured_is_counted_once_for_the_first_reason() -> None:
    events = [event("a", 100, "failure"), event("b", 103, "failure"), event("c", 103, "unknown"), event("d", 104)]
    labels = {"a": "attack", "b": "attack", "e": "guess", "z": "attack"}
    found = drawn(*events, event("e", 105), warm_up=3, labels=labels)

    assert (found.events, found.warming_up, found.failures, found.unknown_outcomes, found.unlabelled) == (5, 1, 1, 1, 1)
    assert [(login.user, login.occurred_at, login.label) for login in found.logins] == [("ana", 105 * DAY_MS, "guess")]
    assert found.unmatched_lines == [5]


def test_the_warm_up_ends_so_many_days_after_the_first_event_to_the_millisecond() -> None:
    labels = {"a": "legitimate", "b": "legitimate", "c": "legitimate"}
    late = event("c", 100.5 + 7 - 1 / DAY_MS)
    found = drawn(event("b", 100.5 + 7), late, event("a", 100.5), warm_up=7, labels=labels)

    assert [login.occurred_at for login in found.logins] == [int(107.5 * DAY_MS)]


# --- the figures --------------------------------------------------------------------------------------------------


def login(decision: str = "allow", score: int = 0, label: str = "legitimate", **given: Any) -> Login:
    plain = Login("ana", 20_000 * DAY_MS, label, decision, score, maturity="ripe", demanded=False)
    return plain._replace(**given)


def table() -> Sample:
    """Ten legitimate logins of two users over twenty days, and five attacks of two kinds."""
    calm = [login(user=user, occurred_at=(20_000 + at) * DAY_MS) for at, user in enumerate(["ana", "ben"] * 3)]
    bothered = [
        login("step_up", 450, maturity="none"),
        login("step_up", 600, maturity="learning", demanded=True, occurred_at=20_019 * DAY_MS + 1),
        login("deny", 0, user="ben"),
        login("allow", 390, maturity="learning"),
    ]
    naive = [login("step_up", 900, "naive"), login("deny", 450, "naive"), login("allow", 300, "naive")]
    return Sample(logins=[*calm, *bothered, *naive, login("step_up", 450, "vpn"), login("allow", 0, "vpn")], events=15)


def test_the_figures_are_those_counted_by_hand() -> None:
    found = evaluate(table(), 15)

    assert {name: (part["count"], part["of"]) for name, part in asdict(found.friction).items()} == {
        "not_allowed": (2, 10),
        "demanded_by_resource": (1, 10),
        "stopped": (3, 10),
        "denied": (1, 10),
    }
    assert {name: (one.not_allowed.count, one.stopped.of) for name, one in found.by_maturity.items()} == {
        "none": (1, 1),
        "learning": (0, 2),
        "ripe": (1, 7),
    }
    assert list(found.by_maturity) == ["none", "learning", "ripe"]
    assert (found.pooled.caught.count, found.pooled.caught.of) == (3, 5)
    assert {name: (one.caught.count, one.caught.of) for name, one in found.attacks.items()} == {
        "naive": (2, 3),
        "vpn": (1, 2),
    }
    assert (found.step_ups.count, found.step_ups.users, found.step_ups.days) == (2, 2, 20)
    assert found.step_ups.per_user_month == pytest.approx(2 / 2 / 20 * 30)
    assert sum(band.legitimate for band in found.calibration) == 10
    assert sum(band.attacks for band in found.distribution) == 5
    assert [(day.legitimate, day.stepped_up) for day in found.days] == [(4, 1), *[(1, 0)] * 5, (1, 1)]


def test_the_area_of_each_kind_is_against_all_legitimate_logins() -> None:
    """Legitimate scores: seven of 0, 39.0, 45.0, 60.0. Naive: 90.0 beats 10, 45.0 beats 8 and ties 1, 30.0 beats 7."""
    found = evaluate(table(), 15)

    assert found.attacks["naive"].auc == pytest.approx((10 + 8.5 + 7) / 30)
    assert found.attacks["vpn"].auc == pytest.approx((8.5 + 3.5) / 20)
    assert found.pooled.auc == pytest.approx((10 + 8.5 + 7 + 8.5 + 3.5) / 50)


def test_where_nothing_was_measured_every_figure_is_no_data() -> None:
    found = evaluate(Sample(), 0)
    shares = list(_shares(asdict(found)))
    rows = [row for section in sections(found) for row in section.rows]

    assert len(shares) == 4 + 1 + 3 + 10 + 20
    assert all((one["of"], one["value"], one["low"], one["high"]) == (0, None, None, None) for one in shares)
    assert found.pooled.auc is found.step_ups.per_user_month is None
    assert (found.attacks, found.by_maturity, found.days) == ({}, {}, [])
    assert all("no data" in row for row in rows)
    assert "no data" in page(ABOUT, found)


def _shares(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every share in a value, however deep."""
    if isinstance(value, dict) and "of" in value:
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _shares(inner)


def test_only_legitimate_logins_leave_recall_without_data_and_only_attacks_friction() -> None:
    good, bad = evaluate(Sample(logins=[login()]), 1), evaluate(Sample(logins=[login(label="attack")]), 1)

    assert (good.friction.stopped.value, good.pooled.caught.value, good.precision[0].value) == (0.0, None, None)
    assert (bad.friction.stopped.value, bad.pooled.caught.value, bad.precision[0].value) == (None, 0.0, None)


def test_friction_of_nobody_is_no_data() -> None:
    assert all(part["value"] is None for part in asdict(friction([])).values())


# --- in words -----------------------------------------------------------------------------------------------------


def hostile() -> Evaluation:
    sample = table()
    sample.logins.append(login("allow", 0, "<script>alert('x')</script> & " + "long " * 12))
    sample.unmatched_lines = list(range(1_000_000, 1_000_030))
    return evaluate(sample, 10_000_000)


def test_the_text_fits_a_terminal_of_100_columns() -> None:
    found = hostile()
    lines = list(text_lines(facts(ABOUT, found.coverage), sections(found)))

    assert max(map(len, lines)) <= COLUMNS
    assert any(line.startswith("not allowed") and "2 of 10" in line for line in lines)
    assert any("30 match no event" in line for line in lines)


def test_the_page_needs_nothing_else_and_runs_nothing() -> None:
    text = page(ABOUT, hostile())
    without_doctype = text.removeprefix("<!doctype html>\n")
    found = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(_closed(without_doctype)).iter()}  # noqa: S314

    assert found.isdisjoint({"script", "link", "img", "iframe", "object", "a"})
    assert not re.search(r"""(src|href|url\(|@import|\son\w+)\s*=?\s*["'(]""", text)
    assert text.count("<svg") == text.count("</svg>") == 5
    assert "&lt;script&gt;" in text
    assert "prefers-color-scheme: dark" in text
    for told in ("0123abcd", "2026-03-01", "a.ndjson", "riskengine …"):
        assert told in text


def test_the_same_evaluation_gives_the_same_page() -> None:
    assert page(ABOUT, hostile()) == page(ABOUT, hostile())


def _closed(text: str) -> str:
    """Return HTML as XML: `meta` is the one element here that HTML does not close."""
    return re.sub(r"<meta([^>]*)>", r"<meta\1/>", text)


# --- labels -------------------------------------------------------------------------------------------------------


def labels(folder: Path, text: str) -> dict[str, str]:
    (folder / "labels").write_text(text)
    return {key: label.name for key, label in read_labels(str(folder / "labels")).items()}


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("legitimate", "legitimate"), ("Legit", "legitimate"), ("benign", "legitimate"), ("0", "legitimate"),
        ("FALSE", "legitimate"), ("", "legitimate"), (" ", "legitimate"), ("attack", "attack"), ("1", "attack"),
        ("True", "attack"), ("stuffing", "stuffing"), (" VPN in country ", "VPN in country"), ("2", "2"),
    ],
)  # fmt: skip
def test_a_label_has_one_spelling(cell: str, name: str, tmp_path: Path) -> None:
    assert labels(tmp_path, f"event_id,label\ne1,{cell}\n") == {"e1": name}


@pytest.mark.parametrize(
    ("value", "name"),
    [("null", "legitimate"), ("false", "legitimate"), ("0", "legitimate"), ("true", "attack"), ('"vpn"', "vpn")],
)
def test_json_says_the_same(value: str, name: str, tmp_path: Path) -> None:
    assert labels(tmp_path, f'\n{{"event_id": "e1", "label": {value}, "by": "ana"}}\n') == {"e1": name}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("event_id;label\ne1;vpn\n\ne2;\n", id="semicolons"),
        pytest.param("label\tnote\tevent_id\nvpn\tx\te1\nlegit\t\te2\n", id="tabs_and_other_columns"),
        pytest.param('\ufeffevent_id,label\r\n"e1","vpn"\r\ne2,0', id="byte_order_mark_quotes_and_no_last_line_end"),
        pytest.param("event_id,label\ne1,vpn\ne2,0\ne1,vpn\n", id="the_same_twice"),
    ],
)
def test_labels_come_as_spreadsheets_write_them(text: str, tmp_path: Path) -> None:
    assert labels(tmp_path, text) == {"e1": "vpn", "e2": "legitimate"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("event_id,label\ne1,vpn\ne1,legit\n", ["labels line 3 contradicts line 2"]),
        ("event_id,label\ne1\ne2,a,b\n", ["line 2 has 1 cells where the header has 2", "line 3 has 3 cells"]),
        ("event_id,label\n,vpn\n", ["line 2: event_id must"]),
        ("event_id,label\ne1,a\x07b\n", ["line 2: label holds the control character U+0007"]),
        ("id,label\ne1,vpn\n", ["line 1 must be a header that names event_id and label"]),
        ("e1\n", ["line 1 must be a header"]),
        ("event_id,label,label\n", ["once each"]),
        ('event_id,label\ne1,"vpn\n', ["line 2 is not CSV"]),
        ('{"event_id": "e1"}\n', ["line 1 must be an object with event_id and label"]),
        ('{"event_id": "e1", "label": 1}\n[]\n{"event_id"\n', ["line 2 must be an object", "line 3 is not JSON"]),
        ('{"event_id": "e1", "label": [1]}\n', ["line 1: label must be a string"]),
        ('{"event_id": 7, "label": 1}\n', ["line 1: event_id must"]),
        ("event_id,label\n" + "x\n" * 9, ["line 6 has", "4 more lines are wrong"]),
    ],
)
def test_a_label_file_that_is_wrong_names_the_lines(text: str, said: list[str], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as wrong:
        labels(tmp_path, text)

    for part in said:
        assert part in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(b"event_id,label\ne1,\xff\n")

    with pytest.raises(InvalidInput, match="line 2 is not UTF-8"):
        read_labels(str(tmp_path / "labels"))


# --- the command --------------------------------------------------------------------------------------------------

HOME, AWAY = "192.0.2.10", "198.51.100.10"
Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: World) -> Run:
    """Run `riskengine evaluate log` in a folder with a log of four logins, the last a thief's, and their labels."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RISKENGINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RISKENGINE_GEOIP_CITY", str(world.city))
    monkeypatch.setenv("RISKENGINE_GEOIP_ASN", str(world.asn))
    stays = [(f"m{day}", HOME, f"2026-03-0{day}T09:00:00Z") for day in (2, 3, 4)]
    rows = [*stays, ("thief", AWAY, "2026-03-04T09:10:00Z")]
    body = [{"user_id": "ana", "event_id": key, "ip": ip, "occurred_at": at} for key, ip, at in rows]
    failure = {"user_id": None, "ip": AWAY, "occurred_at": "2026-03-04T09:11:00Z", "outcome": "failure"}
    (tmp_path / "log").write_text("".join(json.dumps(one) + "\n" for one in [*body, failure]))
    (tmp_path / "labels.csv").write_text("event_id,label\nm3,0\nm4,0\nthief,stolen\nother,1\n")

    def run(*options: str) -> int:
        monkeypatch.setattr(sys, "argv", ["riskengine", "evaluate", "log", "--labels", "labels.csv", *options])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return run


def test_a_log_and_its_labels_become_a_table(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    out, err = capsys.readouterr()

    assert re.search(r"^not allowed .* 0 of 2$", out, re.MULTILINE)
    assert re.search(r"^stolen .* 1 of 1$", out, re.MULTILINE)
    assert "4, of which 1 match no event that was decided (line 5)" in out
    assert "1 failures, 1 without a label" in out
    assert "again     riskengine evaluate log --labels labels.csv\n" in out
    assert "5 events decided" in err


def test_json_holds_all_figures_under_keys_that_stay(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json", "--quiet", "--warm-up", "1", "--base-rate", "1/500", "--base-rate", "0.25") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)

    assert err == ""
    assert list(found) == ["provenance", *Evaluation.__slots__]
    assert found["coverage"]["warming_up"] == 1
    assert found["attacks"]["stolen"]["caught"]["value"] == 1.0
    assert set(found["attacks"]["stolen"]) == {"caught", "auc", "at_friction", "roc"}
    assert set(found["friction"]["not_allowed"]) == {"count", "of", "value", "low", "high"}
    assert [one["attack_share"] for one in found["precision"]] == [0.002, 0.25]
    command = "riskengine evaluate log --labels labels.csv --warm-up 1 --base-rate 1/500 --base-rate 1/4"
    assert found["provenance"]["command"] == command
    assert found["provenance"]["warm_up_days"] == 1


def test_the_report_is_the_same_bytes_each_time(run: Run, tmp_path: Path) -> None:
    assert run("--report", "one.html") == run("--report", "two.html", "--quiet") == 0
    one, two = ((tmp_path / name).read_bytes() for name in ("one.html", "two.html"))

    assert one == two
    assert b"riskengine evaluate log --labels labels.csv" in one


def test_an_observing_policy_is_measured_by_what_it_would_have_answered(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "data" / "policy.toml").read_text()
    (tmp_path / "watch.toml").write_text(re.sub(r'^mode = "\w+"', 'mode = "observe"', text, flags=re.MULTILINE))

    assert run("--policy", "watch.toml", "--quiet") == 0
    out = capsys.readouterr().out
    assert re.search(r"^stolen .* 1 of 1$", out, re.MULTILINE)
    assert "observing: measured is what it would have answered" in out


def test_a_rejected_line_of_the_log_is_told_by_the_exit_code(run: Run, tmp_path: Path) -> None:
    with (tmp_path / "log").open("a") as log:
        log.write("{torn\n")

    assert run() == 3


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--labels", "nowhere.csv"), 4, "--labels nowhere.csv cannot be read: No such file or directory."),
        (("--labels", "."), 4, "--labels . cannot be read"),
        (("--labels", "log"), 2, "log line 1 must be an object with event_id and label"),
        (("--labels", "others.csv"), 2, "others.csv labels no event of the log"),
        (("--labels", "empty.csv"), 2, "empty.csv labels no event of the log"),
        (("--report", "log"), 4, "--report must be a file of its own"),
        (("--report", "./labels.csv"), 4, "--report must be a file of its own"),
        (("--report", "nowhere/at.html"), 4, "--report nowhere/at.html cannot be written"),
        (("--report", "."), 4, "--report . cannot be written"),
        (("--labels", "-", "-"), 4, "Only one of the logs and the labels can be standard input."),
        (("--policy", "nowhere.toml"), 4, "nowhere.toml"),
        (("--base-rate", "2"), 2, "2 is no share between 0 and 1"),
        (("--base-rate", "1/0"), 2, "1/0 is no share between 0 and 1"),
        (("--base-rate", "often"), 2, "often is no share between 0 and 1"),
        (("--warm-up", "-1"), 2, "-1 is not in the range"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence_before_anything_is_done(
    options: tuple[str, ...], code: int, said: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "others.csv").write_text("event_id,label\nsomebody,1\n")
    (tmp_path / "empty.csv").write_text("")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}

    assert run(*options) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


def test_the_sample_labels_fit_the_sample_events() -> None:
    events = [json.loads(line) for line in (ROOT / "data" / "sample-events.ndjson").read_text().splitlines()]
    known = read_labels(str(ROOT / "data" / "sample-labels.csv"))

    assert set(known) <= {event["event_id"] for event in events if event.get("type", "event") == "event"}
    assert {"legitimate", "stolen_password"} <= {label.name for label in known.values()}
