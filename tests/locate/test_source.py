"""What the places come from: name, date, licence, credit, age."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.locate.locator import Locator
from riskengine.locate.source import LINKS, OLD_DAYS, widening
from riskengine.locate.status import status
from tests.fixtures_geo import NEW_YORK, write_city_db

DAY_S = 86_400
BUILT = int(datetime(2026, 6, 5, 9, tzinfo=UTC).timestamp())
BUILT_MS = BUILT // DAY_S * DAY_S * 1000


def at_age(days: int) -> int:
    return BUILT_MS + days * DAY_S * 1000


@pytest.fixture
def city(tmp_path: Path) -> Path:
    path = tmp_path / "city.mmdb"
    write_city_db(path, {"192.0.2.0/24": NEW_YORK}, built=BUILT)
    return path


def test_the_seed_says_that_it_is_one() -> None:
    source = Locator.open(None).source(at_age(0))
    assert (source.name, source.date, source.level) == ("IPFire Location", "2022-10-29", "country")
    assert source.degraded == ("geo_seed", "geo_old")
    assert "IPFire Location, CC BY-SA 4.0" in source.attribution


@pytest.mark.parametrize(
    ("database_type", "licence", "credit"),
    [
        pytest.param("GeoLite2-City", "GeoLite2 EULA", "GeoLite Data created by MaxMind", id="geolite"),
        pytest.param("GeoIP2-City", "MaxMind commercial licence", "IPFire", id="geoip2"),
        pytest.param("DBIP-City-Lite", "CC BY 4.0", "IP Geolocation by DB-IP", id="dbip_lite"),
        pytest.param("My-City", "as licensed to the operator", "IPFire", id="own"),
    ],
)
def test_an_operator_s_file_brings_its_licence(tmp_path: Path, database_type: str, licence: str, credit: str) -> None:
    path = tmp_path / "city.mmdb"
    write_city_db(path, {"192.0.2.0/24": NEW_YORK}, database_type=database_type, built=BUILT)
    source = Locator.open(None, path).source(at_age(1))
    assert (source.name, source.date, source.licence) == (database_type, "2026-06-05", licence)
    assert any(credit in line for line in source.attribution)
    assert set(source.attribution) <= set(LINKS)


@pytest.mark.parametrize(
    ("days", "degraded"),
    [(0, ()), (OLD_DAYS, ()), (OLD_DAYS + 1, ("geo_old",))],
    ids=["new", "at_the_limit", "over_it"],
)
def test_age_is_counted_in_days_and_said(city: Path, days: int, degraded: tuple[str, ...]) -> None:
    source = Locator.open(None, city).source(at_age(days))
    assert source.age_days(at_age(days)) == days
    assert source.degraded == degraded


def test_age_widens_radii_by_what_was_measured(city: Path) -> None:
    locator = Locator.open(None, city)
    assert locator.source(at_age(35)).radius_factor == 1.0
    assert locator.source(at_age(36)).radius_factor > 1.0
    assert locator.source(at_age(35 + 1161)).radius_factor == pytest.approx((1 + (192 / 170) ** 2) ** 0.5)


def test_the_factor_of_an_event_depends_on_its_own_time_alone(city: Path) -> None:
    source = Locator.open(None, city).source(at_age(900))
    times = np.array([at_age(0), at_age(900), at_age(-900)])
    factors = source.factors(times)
    assert factors[0] == 1.0
    assert factors[1] == factors[2] == source.radius_factor


@given(st.integers(-20_000, 20_000), st.integers(-20_000, 20_000))
def test_a_factor_never_shrinks_with_age(one: int, other: int) -> None:
    young, old = sorted((abs(one), abs(other)))
    found = widening(np.array([young, old]))
    assert 1.0 <= found[0] <= found[1] < 2.5


def test_status_warns_of_age_and_of_the_licence(city: Path, tmp_path: Path) -> None:
    fresh = status(tmp_path, city, now_ms=at_age(30) + DAY_S * 1000 // 2)
    assert fresh.warnings == ()
    assert fresh.files[0].type == "GeoLite2-City"
    stale = status(tmp_path, city, now_ms=at_age(36))
    assert len(stale.warnings) == 2
    assert "36 days old" in stale.warnings[0]
    assert "licence" in stale.warnings[1]
    assert (stale.age_days, stale.files[0].date) == (36, "2026-06-05")


def test_status_of_nothing_says_what_to_do(tmp_path: Path) -> None:
    found = status(tmp_path)
    assert found.source is not None
    assert found.source.level == "country"
    assert (found.fetched, found.previous, found.problem) == (None, None, None)
    assert "riskengine geo fetch" in found.warnings[0]


def test_status_of_a_wrong_setting_is_its_sentence(tmp_path: Path) -> None:
    found = status(tmp_path, asn=tmp_path / "absent")
    assert found.source is None
    assert found.problem is not None
    assert found.problem.startswith("RISKENGINE_GEOIP_ASN names ")
