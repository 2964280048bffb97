"""A comparison for people: as text and as a page, whatever a log holds."""

import re
from xml.etree import ElementTree

from riskengine.compare.comparison import Comparison, compare
from riskengine.compare.page import page
from riskengine.compare.section import Provenance, Reports, facts, headline, sections
from riskengine.document.section import Section
from riskengine.document.terminal import COLUMNS, text_lines
from tests.compare.invented import ALLOW, DENY, HOSTILE, STEP_UP, pair

ABOUT = Provenance(
    logs=["a.ndjson"],
    before=f"old {HOSTILE}.toml",
    after="new.toml",
    pseudonyms=False,
    reports_before=Reports(12, 3),
    reports_after=Reports(11, 4),
    undecided=0,
    command="riskengine replay a.ndjson --compare old.toml",
)


def hostile() -> Comparison:
    """Return figures with many users and groups whose names are made to break a page."""
    names = [f"{HOSTILE} {'long ' * 12}{at}" for at in range(30)]
    pairs = [pair(ALLOW, STEP_UP, name, at, groups=(name,)) for at, name in enumerate(names)]
    return compare([*pairs, pair(STEP_UP, ALLOW, "ana"), pair(ALLOW, DENY, None, outcome="failure")])


def text(about: Provenance, found: Comparison) -> list[str]:
    return list(text_lines(facts(about, found), sections(found)))


def test_the_text_fits_a_terminal_of_100_columns() -> None:
    lines = text(ABOUT, hostile())

    assert max(map(len, lines)) <= COLUMNS
    assert any(line.startswith("before: allow") for line in lines)
    assert any("The first 20 of 31." in line for line in lines)
    assert any("before 12 counted and 3 refused; after 11 counted and 4 refused" in line for line in lines)


def test_the_table_of_changes_adds_up_across_and_down() -> None:
    changes = sections(hostile())[0]
    assert isinstance(changes, Section)
    cells = [[int(cell) for cell in row[1:]] for row in changes.rows]

    assert cells == [[0, 30, 1, 31], [1, 0, 0, 1], [0, 0, 0, 0], [1, 30, 1, 32]]
    assert headline(hostile()) == (
        "32 of 32 decisions change (100 %): 31 to a stricter one, 1 to a laxer one."
    )


def test_the_page_needs_nothing_else_runs_nothing_and_escapes_what_it_shows() -> None:
    found = page(ABOUT, hostile())
    closed = re.sub(r"<meta([^>]*)>", r"<meta\1/>", found.removeprefix("<!doctype html>\n"))
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(closed).iter()}  # noqa: S314

    assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "a"})
    assert not re.search(r"""(src|href|url\(|@import|\son\w+)\s*=?\s*["'(]""", found)
    assert found.count("<svg") == found.count("</svg>") == 6
    assert "&lt;script&gt;" in found
    assert "prefers-color-scheme: dark" in found
    assert 'name="viewport"' in found
    for told in ("0123abcd", "2026-03-01", "allow → deny", "riskengine replay a.ndjson"):
        assert told in found


def test_the_same_comparison_gives_the_same_page() -> None:
    assert page(ABOUT, hostile()) == page(ABOUT, hostile())


def test_of_nothing_the_page_says_so() -> None:
    found = page(ABOUT, compare([]))

    assert "0 of 0 decisions change (no data)" in found
    assert "a.ndjson: none" in found


def test_what_the_store_cannot_tell_is_not_made_up() -> None:
    stored = Provenance([], "as stored", "new.toml", True, None, Reports(2, 1), 3, "riskengine replay --compare stored")
    told = dict(facts(stored, compare([pair(ALLOW, STEP_UP)])))

    assert told["events"] == "the store's own, from empty histories on: 1, 2024-10-04 to 2024-10-04; " + (
        "3 could not be decided again"
    )
    assert told["reports"].startswith("after 2 counted and 1 refused")
    assert told["users"] == "1, by pseudonym (user_ref)"
