"""BSD time stamps get the year that keeps the log in order."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from riskengine.check import format_time
from riskengine.errors import InvalidInput
from riskengine.readers.lines import Raw
from riskengine.readers.stamp import Calendar, bsd_time, first_year, make_clock

MODIFIED = datetime(2026, 6, 1, tzinfo=UTC).timestamp()


def years(days: list[str], year: int | None = None, modified: float = MODIFIED) -> list[int]:
    """Return the year each line gets, where the lines begin with these days."""
    raws = [Raw(number, f"{day} 09:15:27 g x: y".encode(), True, False) for number, day in enumerate(days, 1)]
    calendar = Calendar(first_year(raws, make_clock(year, None, modified)))
    found = []
    for raw in raws:
        calendar.see(raw.line)
        found.append(calendar.year)
    return found


@pytest.mark.parametrize(
    ("days", "year", "want"),
    [
        pytest.param(["Mar  4", "Mar  5"], 2025, [2025, 2025], id="within_a_year"),
        pytest.param(["Dec 31", "Jan  1"], 2025, [2024, 2025], id="new_year"),
        pytest.param(["Dec 31", "Jan  1", "Dec 31", "Jan  1"], 2025, [2024, 2025, 2024, 2025], id="straggler"),
        pytest.param(["Jan  1", "Dec 31", "Jan  2"], 2025, [2025, 2024, 2025], id="straggler_first"),
        pytest.param(["Jan  5", "Jan  4"], 2025, [2025, 2025], id="disorder"),
        pytest.param(["Apr  1", "Mar  1"], 2025, [2025, 2025], id="files_put_together_newest_first"),
        pytest.param(["Jan 10", "Oct 10"], 2025, [2025, 2025], id="long_silence"),
        pytest.param(["Oct 10", "Jan 10"], 2025, [2024, 2025], id="long_silence_over_new_year"),
        pytest.param(["Jun  1", "Jan  1", "Jun  1", "Jan  1"], 2025, [2023, 2024, 2024, 2025], id="several_years"),
        pytest.param(["Feb 28", "Feb 29", "Mar  1"], 2024, [2024, 2024, 2024], id="leap_day"),
    ],
)
def test_the_log_stays_in_order(days: list[str], year: int, want: list[int]) -> None:
    assert years(days, year) == want


@pytest.mark.parametrize(
    ("days", "want"),
    [
        pytest.param(["Mar  4"], [2026], id="before_it_was_written"),
        pytest.param(["Jun  1"], [2026], id="the_day_it_was_written"),
        pytest.param(["Jun  2"], [2026], id="a_zone_ahead"),
        pytest.param(["Jun  3"], [2025], id="the_year_before"),
        pytest.param(["Dec 31", "Jan  1"], [2025, 2026], id="new_year"),
        pytest.param(["Feb 29"], [2024], id="leap_day"),
        pytest.param(["Feb 29", "Sep  1", "Jan  1"], [2024, 2024, 2025], id="leap_day_of_the_year_before"),
        pytest.param(["Feb 29", "Sep  1", "Feb 29"], [2025, 2025, 2026], id="leap_days_that_cannot_both_be"),
    ],
)
def test_without_a_year_the_files_date_tells_it(days: list[str], want: list[int]) -> None:
    assert years(days) == want


def test_lines_without_a_date_do_not_count() -> None:
    assert years(["Mar  4", "Maybe ", "May xx", "Mar 99", "Foo  1", "Mar  5"], 2025) == [2025] * 6


def test_a_log_without_bsd_times_has_the_year_it_was_written() -> None:
    assert first_year([], make_clock(None, None, MODIFIED)) == 2026


@pytest.mark.parametrize(
    ("stamp", "want"),
    [
        pytest.param("Mar 29 00:59:59", "2026-03-29T00:59:59.000Z", id="before_summer_time"),
        pytest.param("Mar 29 02:00:00", "2026-03-29T01:00:00.000Z", id="in_summer_time"),
        pytest.param("Oct 25 01:30:00", "2026-10-25T00:30:00.000Z", id="the_first_of_a_repeated_hour"),
    ],
)
def test_local_time_follows_its_zone(stamp: str, want: str) -> None:
    assert format_time(bsd_time(stamp, 2026, ZoneInfo("Europe/Lisbon"))) == want


@pytest.mark.parametrize(
    ("year", "tz", "what"),
    [
        (0, None, "year must lie"),
        (10_000, None, "year must lie"),
        (None, "Mars/Olympus", "tz must be"),
        (None, "../etc/passwd", "tz must be"),
        (None, "Europe", "tz must be"),
    ],
)
def test_a_wrong_year_or_zone_is_refused_by_name(year: int | None, tz: str | None, what: str) -> None:
    with pytest.raises(InvalidInput, match=what):
        make_clock(year, tz, None)
