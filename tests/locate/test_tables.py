"""The tables that travel with the package: ranges, known networks, countries."""

import math
from pathlib import Path

import numpy as np
import pytest

from riskengine.errors import DataError
from riskengine.locate import country, listing, registry
from riskengine.locate.address import number
from riskengine.network import Kind, Trait
from riskengine.settings import package_files

DATA = package_files("data")


def find(text: str) -> tuple[int, int, int]:
    value = number(text)
    assert value is not None
    high, low = np.array([value >> 64], np.uint64), np.array([value & (2**64 - 1)], np.uint64)
    entry = registry.load(DATA / "asn.npz").find(high, low)
    return int(entry.country[0]), int(entry.asn[0]), int(entry.traits[0])


# Facts of the source (IPFire Location, 2022-10-29) that its own reader confirms.
@pytest.mark.parametrize(
    ("address", "letters", "asn"),
    [
        pytest.param("8.8.8.8", "US", 15169, id="a_resolver"),
        pytest.param("72.229.28.185", "US", 12271, id="a_home_in_new_york"),
        pytest.param("139.7.146.1", "DE", 3209, id="a_line_in_germany"),
        pytest.param("2001:4860:4860::8888", "US", 15169, id="ipv6"),
        pytest.param("::ffff:8.8.8.8", "US", 15169, id="ipv4_in_ipv6"),
        pytest.param("10.0.0.1", None, 0, id="a_gap"),
        pytest.param("::", None, 0, id="the_first_address"),
        pytest.param("ffff:ffff::", None, 0, id="beyond_the_last_range"),
    ],
)
def test_the_registry_knows_countries_and_systems(address: str, letters: str | None, asn: int) -> None:
    code = 0 if letters is None else ord(letters[0]) << 8 | ord(letters[1])
    assert find(address)[:2] == (code, asn)


def test_the_registry_gives_flags_as_traits() -> None:
    assert find("185.220.101.1")[2] == Trait.FLAG_ANONYMOUS_PROXY
    assert find("1.1.1.1")[2] == Trait.FLAG_ANYCAST


def test_the_registry_names_systems_and_says_none_for_strangers() -> None:
    table = registry.load(DATA / "asn.npz")
    assert table.name(15169) == "GOOGLE"
    assert table.name(64500) is None
    assert table.name(2**32 - 1) is None
    assert table.date == "2022-10-29"


def test_a_block_of_several_ranges_is_not_taken_for_one() -> None:
    table = registry.load(DATA / "asn.npz")
    starts = table._v4  # the ranges are nowhere else to be had
    inside = starts[starts & np.uint64(0xFF) != 0][:100]
    entry = table.find(np.zeros(len(inside), np.uint64), inside | np.uint64(0xFFFF << 32))
    assert not entry.spans_block.any()


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + b"\0" * 18])
def test_a_damaged_registry_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "asn.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"asn\.npz"):
        registry.load(path)


def test_a_truncated_registry_is_named(tmp_path: Path) -> None:
    path = tmp_path / "asn.npz"
    whole = (DATA / "asn.npz").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"asn\.npz"):
        registry.load(path)


def test_every_listed_network_has_a_kind_and_a_weight() -> None:
    rows = listing.load(DATA / "networks.csv")
    assert len(rows) == 124
    assert {row.confidence for row in rows.values()} == {1.0, 0.6, 0.3}
    wayport = rows[14654]
    assert (wayport.kind, wayport.confidence, wayport.date) == (Kind.PUBLIC_WIFI, 1.0, "2022-10-29")
    assert "WAYPORT" in wayport.evidence
    assert rows[131160].date is None


@pytest.mark.parametrize(
    "row",
    [
        *("x,vpn,n,US,1,high,e,", "1,banana,n,US,1,high,e,", "1,vpn,n,US,1,sure,e,", "1,vpn"),
    ],
)
def test_a_wrong_row_is_named_by_its_number(tmp_path: Path, row: str) -> None:
    path = tmp_path / "networks.csv"
    head = "asn,category,name,country,v4_prefixes_2022,confidence,evidence,as_of"
    path.write_text(f"{head}\n1,vpn,n,US,1,high,e,\n{row}\n")
    with pytest.raises(DataError, match=r"networks\.csv is wrong in row 3"):
        listing.load(path)


def test_missing_tables_are_named(tmp_path: Path) -> None:
    for load in (registry.load, listing.load, country.load):
        with pytest.raises(DataError, match="absent"):
            load(tmp_path / "absent")


def test_a_wrong_table_of_countries_is_named(tmp_path: Path) -> None:
    path = tmp_path / "countries.csv"
    path.write_text("country,name,latitude,longitude,radius_km\nPT,Portugal,north,0,1\n")
    with pytest.raises(DataError, match=r"countries\.csv"):
        country.load(path)


def test_every_country_is_a_point_on_the_globe_with_a_radius() -> None:
    countries = country.load(DATA / "countries.csv")
    assert len(countries) == 250
    for code, row in countries.items():
        assert len(code) == 2
        assert -90 <= row.latitude <= 90
        assert -180 <= row.longitude <= 180
        assert 25 <= row.radius_km < 2500


# Where a mean of degrees goes wrong, and where a capital does not stand for its country.
@pytest.mark.parametrize(
    ("code", "latitude", "longitude", "radius_km"),
    [
        pytest.param("FJ", -17.8, 178.2, 83, id="fiji_across_the_antimeridian"),
        pytest.param("US", 39.0, -92.7, 1638, id="the_united_states_with_alaska_and_hawaii"),
        pytest.param("RU", 56.8, 51.6, 1281, id="russia_across_eleven_zones"),
        pytest.param("KI", 1.3, 174.9, 217, id="kiribati_on_both_sides"),
        pytest.param("NZ", -39.4, 174.4, 280, id="new_zealand_with_the_chathams"),
        pytest.param("SG", 1.33, 103.8, 25, id="a_city_state_has_a_city_s_floor"),
        pytest.param("AQ", -90.0, 0.0, 2111, id="no_city_at_all"),
    ],
)
def test_countries_lie_where_their_people_live(code: str, latitude: float, longitude: float, radius_km: float) -> None:
    row = country.load(DATA / "countries.csv")[code]
    assert math.isclose(row.latitude, latitude, abs_tol=0.06)
    assert math.isclose(row.longitude, longitude, abs_tol=0.06)
    assert row.radius_km == radius_km


def test_a_centroid_is_recognised_as_databases_round_it() -> None:
    assert country.is_centroid(float(np.float32(37.751)), float(np.float32(-97.822)))
    assert not country.is_centroid(37.76, -97.822)
    assert not country.is_centroid(math.nan, math.nan)
