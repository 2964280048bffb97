"""Addresses become places: which source speaks, what is unknown, and what never fails."""

import json
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from riskengine.batch import ITEM, Located, country_letters
from riskengine.errors import DataError
from riskengine.locate.atlas import CACHED, FIELDS
from riskengine.locate.locator import PLACE, Locator, Places
from riskengine.network import Kind, Trait, kind_by
from tests.fixtures_geo import (
    LISBON,
    NEW_YORK,
    TOKYO,
    World,
    write_anonymous_db,
    write_asn_db,
    write_city_db,
    write_db,
    write_flat_db,
    write_world,
)

NEW_YORK_1, NEW_YORK_2, TOKYO_1, EQUATOR_1 = "192.0.2.1", "192.0.2.65", "198.51.100.1", "198.51.100.129"
TOR_1, HOSTING_1, WIFI_1, MOBILE_1 = "203.0.113.65", "203.0.113.97", "203.0.113.129", "203.0.113.193"
IN_THE_SEED = "72.229.28.185"  # a public address that data/asn.npz knows: US, AS12271


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def locator(world: World) -> Locator:
    return Locator.open(None, world.city, world.asn, world.anonymous)


def city_only(path: Path) -> Locator:
    return Locator.open(None, city=path)


def kinds(places: Places) -> list[Kind]:
    found = places.columns
    located = np.isin(found["located"], (Located.PLACE, Located.COUNTRY))
    evidence = zip(found["traits"].tolist(), found["listed"].tolist(), located.tolist(), strict=True)
    return [Kind(kind_by(*of_one)) for of_one in evidence]


def test_a_place_has_the_types_of_an_item() -> None:
    assert PLACE.names == FIELDS
    for name in FIELDS:
        assert PLACE[name] == ITEM[name]


def test_the_world_is_where_it_should_be(locator: Locator) -> None:
    found = locator.locate([NEW_YORK_1, TOKYO_1, MOBILE_1, "2001:db8:1::5", "2001:db8:2::5"])
    assert found.columns["latitude"].tolist() == [40.7128, 35.6895, 40.7128, 40.7128, 35.6895]
    assert found.columns["given_radius"].tolist() == [20, 20, 300, 20, 20]
    assert set(found.columns["located"]) == {Located.PLACE}
    assert [label.city for label in found.labels] == ["New York", "Tokyo", "New York", "New York", "Tokyo"]
    assert [country_letters(code) for code in found.columns["country"].tolist()] == [
        "US",
        "JP",
        "US",
        "US",
        "JP",
    ]
    assert found.columns["asn"].tolist() == [12271, 4713, 21928, 12271, 4713]
    assert found.labels[1].as_name == "NTT Communications Corporation"
    assert found.labels[1].timezone == "Asia/Tokyo"


def test_evidence_resolves_to_the_world_s_kinds(locator: Locator) -> None:
    found = locator.locate([NEW_YORK_1, TOR_1, HOSTING_1, WIFI_1, MOBILE_1, "10.0.0.1"])
    assert kinds(found) == [
        *(Kind.BROADBAND, Kind.TOR, Kind.HOSTING, Kind.PUBLIC_WIFI, Kind.MOBILE, Kind.PRIVATE),
    ]
    assert found.columns["listed"][3] == Kind.PUBLIC_WIFI
    assert found.columns["listed_confidence"][3] == 1.0
    assert found.labels[3].evidence is not None
    assert "WAYPORT" in found.labels[3].evidence
    assert found.labels[3].evidence_date == "2022-10-29"


def test_the_equator_is_a_place(locator: Locator) -> None:
    (row,) = locator.locate([EQUATOR_1]).columns
    assert (row["latitude"], row["longitude"], row["located"]) == (0.0, 9.45, Located.PLACE)


def test_answers_keep_the_order_and_number_of_questions(locator: Locator) -> None:
    asked = [TOKYO_1, NEW_YORK_1, TOKYO_1, TOKYO_1, NEW_YORK_2, NEW_YORK_1]
    found = locator.locate(asked)
    alone = [locator.locate([address]) for address in asked]
    assert found.columns.tobytes() == np.concatenate([one.columns for one in alone]).tobytes()
    assert found.labels == [one.labels[0] for one in alone]


def test_nothing_asked_is_nothing_answered(locator: Locator) -> None:
    found = locator.locate([])
    assert (found.columns.dtype, len(found.columns), found.labels) == (PLACE, 0, [])


def test_a_mapped_address_is_its_ipv4_address(locator: Locator) -> None:
    mapped, plain = locator.locate(["::ffff:192.0.2.1", NEW_YORK_1]).columns
    assert mapped.tobytes() == plain.tobytes()
    assert (plain["address_high"], plain["address_low"]) == (0, 0xFFFF_C000_0201)


@pytest.mark.parametrize("address", ["10.1.2.3", "127.0.0.1", "100.64.0.1", "::1", "fe80::1", "224.0.0.1", "::"])
def test_private_addresses_are_looked_up_nowhere(tmp_path: Path, address: str) -> None:
    path = tmp_path / "city.mmdb"
    write_city_db(path, {"0.0.0.0/0": NEW_YORK})
    found = city_only(path).locate([address])
    assert found.columns["located"].tolist() == [Located.PRIVATE]
    assert found.columns["traits"].tolist() == [Trait.PRIVATE]
    assert np.isnan(found.columns["latitude"]).all()
    assert found.labels[0].city is None


def test_documentation_addresses_are_private_unless_the_operator_knows_them(tmp_path: Path) -> None:
    path, asn = tmp_path / "city.mmdb", tmp_path / "asn.mmdb"
    write_city_db(path, {"192.0.2.0/25": NEW_YORK})
    write_asn_db(asn, {"198.51.100.0/24": (64500, "Example")})
    found = Locator.open(None, path, asn).locate([NEW_YORK_1, "192.0.2.200", TOKYO_1, "2001:db8::1"]).columns
    assert found["located"].tolist() == [
        *(Located.PLACE, Located.PRIVATE, Located.UNKNOWN, Located.PRIVATE),
    ]
    assert found["asn"].tolist() == [0, 0, 64500, 0]
    assert Locator.open(None).locate([NEW_YORK_1]).columns["located"].tolist() == [Located.PRIVATE]


def test_a_public_address_that_nobody_knows_is_unknown(locator: Locator) -> None:
    (row,) = locator.locate(["4000::1"]).columns
    assert row["located"] == Located.UNKNOWN
    assert np.isnan(row["latitude"])
    assert row["country"] == row["asn"] == row["traits"] == 0


def test_what_is_no_address_is_unknown_and_harms_nobody(locator: Locator) -> None:
    found = locator.locate(["banana", NEW_YORK_1]).columns
    assert found["located"].tolist() == [Located.UNKNOWN, Located.PLACE]
    assert found["address_low"][0] == 0


def test_without_city_data_the_country_is_known() -> None:
    seed = Locator.open(None)
    (row,), (label,) = (found := seed.locate([IN_THE_SEED])).columns, found.labels
    assert row["located"] == Located.COUNTRY
    assert (row["latitude"], row["longitude"], row["given_radius"]) == (38.9631, -92.6602, 1638)
    assert (row["asn"], label.country, label.city) == (12271, "US", None)


def test_an_address_that_the_city_file_misses_still_has_its_country(locator: Locator) -> None:
    (row,) = locator.locate([IN_THE_SEED]).columns
    assert row["located"] == Located.COUNTRY
    assert row["asn"] == 12271


CITYLESS = {"latitude": 40.0, "longitude": -100.0, "country": "US"}


@pytest.mark.parametrize(
    ("record", "want", "radius"),
    [
        pytest.param({**NEW_YORK, "radius": 1000}, Located.PLACE, 1000, id="a_named_city_with_a_wide_radius"),
        pytest.param({**CITYLESS, "radius": 499}, Located.PLACE, 499, id="no_city_but_exact_enough"),
        pytest.param({**CITYLESS, "radius": 500}, Located.COUNTRY, 1638, id="no_city_and_too_wide"),
        pytest.param({**CITYLESS, "radius": 2000}, Located.COUNTRY, 2000, id="wider_than_the_country"),
        pytest.param(CITYLESS, Located.COUNTRY, 1638, id="no_city_and_no_radius"),
        pytest.param(
            {"latitude": 37.751, "longitude": -97.822, "country": "US", "radius": 20},
            *(Located.COUNTRY, 1638),
            id="where_databases_put_what_they_do_not_know",
        ),
        pytest.param(
            {"latitude": 37.751, "longitude": -97.822, "country": "US", "city": "Cheney", "radius": 20},
            *(Located.PLACE, 20),
            id="a_city_at_that_point",
        ),
        pytest.param({"country": "US"}, Located.COUNTRY, 1638, id="country_only"),
        pytest.param({"country": "US", "city": "New York"}, Located.COUNTRY, 1638, id="a_city_without_a_point"),
        pytest.param({"latitude": 1.0, "longitude": 2.0}, Located.PLACE, np.nan, id="a_point_alone"),
        pytest.param({"country": "EU"}, Located.UNKNOWN, np.nan, id="a_region_is_no_country"),
        pytest.param({}, Located.UNKNOWN, np.nan, id="an_empty_record"),
    ],
)
def test_what_a_record_without_a_city_is_worth(
    tmp_path: Path, record: dict[str, object], want: Located, radius: float
) -> None:
    path = tmp_path / "city.mmdb"
    write_city_db(path, {"192.0.2.0/24": record})
    (row,) = city_only(path).locate([NEW_YORK_1]).columns
    assert row["located"] == want
    assert np.array_equal(row["given_radius"], radius, equal_nan=True)


def test_a_flat_pair_of_files_in_a_folder_answers_both_families(tmp_path: Path) -> None:
    write_flat_db(tmp_path / "city-ipv4.mmdb", {"192.0.2.0/24": NEW_YORK})
    write_flat_db(tmp_path / "city-ipv6.mmdb", {"2001:db8:2::/48": TOKYO}, 6)
    found = city_only(tmp_path).locate([NEW_YORK_1, "2001:db8:2::1", "2001:db8:3::1"])
    assert [label.city for label in found.labels] == ["New York", "Tokyo", None]
    assert np.isnan(found.columns["given_radius"]).all()


def test_ipv6_on_an_ipv4_file_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "city-ipv4.mmdb"
    write_flat_db(path, {"192.0.2.0/24": NEW_YORK})
    found = city_only(path).locate(["4000::1", "2001:db8::1", NEW_YORK_1]).columns
    assert found["located"].tolist() == [Located.UNKNOWN, Located.PRIVATE, Located.PLACE]


def test_enterprise_names_its_own_asn_first(tmp_path: Path) -> None:
    city, asn = tmp_path / "enterprise.mmdb", tmp_path / "asn.mmdb"
    traits = {"autonomous_system_number": 14654, "user_type": "cafe"}
    write_city_db(city, {"192.0.2.0/24": {**NEW_YORK, "traits": traits}}, database_type="GeoIP2-Enterprise")
    write_asn_db(asn, {"192.0.2.0/24": (64500, "Example")})
    (row,) = Locator.open(None, city, asn).locate([NEW_YORK_1]).columns
    assert (row["asn"], row["listed"], row["traits"]) == (14654, Kind.PUBLIC_WIFI, Trait.CAFE)


def test_the_operator_s_asn_file_wins_over_the_built_in_table(tmp_path: Path) -> None:
    asn = tmp_path / "asn.mmdb"
    write_asn_db(asn, {f"{IN_THE_SEED}/32": (64500, "Example")})
    locator = Locator.open(None, asn=asn)
    found = locator.locate([IN_THE_SEED, "72.229.28.186"])
    assert found.columns["asn"].tolist() == [64500, 12271]
    assert [label.as_name for label in found.labels] == ["Example", "TWC-12271-NYC"]


def test_neighbours_in_one_block_are_not_confused(tmp_path: Path) -> None:
    path = tmp_path / "city.mmdb"
    write_city_db(path, {"192.0.2.0/24": NEW_YORK, "192.0.2.7/32": TOKYO, "192.0.2.128/25": LISBON})
    asked = ["192.0.2.1", "192.0.2.7", "192.0.2.8", "192.0.2.200"] * 2
    random.Random(7).shuffle(asked)
    want = {"192.0.2.1": "New York", "192.0.2.7": "Tokyo", "192.0.2.8": "New York", "192.0.2.200": "Lisbon"}
    locator = city_only(path)
    for _ in range(2):
        for address in asked:
            assert locator.locate([address]).labels[0].city == want[address]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.lists(st.ip_addresses(), max_size=12), st.integers(0, 12))
def test_any_split_of_a_column_locates_the_same(world: World, addresses: list[object], cut: int) -> None:
    asked = [str(address) for address in addresses]
    whole = Locator.open(None, world.city, world.asn, world.anonymous).locate(asked)
    other = Locator.open(None, world.city, world.asn, world.anonymous)
    parts = [other.locate(asked[cut:]), other.locate(asked[:cut])]
    assert np.concatenate([parts[1].columns, parts[0].columns]).tobytes() == whole.columns.tobytes()
    assert parts[1].labels + parts[0].labels == whole.labels


def test_the_cache_is_bounded_and_stays_right(locator: Locator) -> None:
    atlas = locator._view.atlas  # its size is nowhere else to be seen
    asked = [f"2001:db8:{at >> 16:x}:{at & 0xFFFF:x}::1" for at in range(CACHED // 2 * 5)]
    for start in range(0, len(asked), 8192):
        locator.locate(asked[start : start + 8192])
    assert len(atlas._young) <= CACHED
    assert len(atlas._old) <= CACHED
    assert locator.locate([NEW_YORK_1]).labels[0].city == "New York"


def test_many_threads_get_the_answers_of_one(world: World) -> None:
    locator = Locator.open(None, world.city, world.asn, world.anonymous)
    asked = [f"192.0.2.{at % 256}" for at in range(512)] + [f"198.51.100.{at}" for at in range(256)]
    want = locator.locate(asked).columns.tobytes()
    found: list[bytes] = []

    def work() -> None:
        found.extend(locator.locate(asked).columns.tobytes() for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [want] * 20


# What an operator can get wrong.


@pytest.mark.parametrize("setting", ["city", "asn", "anonymous"])
def test_a_missing_file_is_named_with_its_setting(tmp_path: Path, setting: str) -> None:
    path = tmp_path / "absent.mmdb"
    with pytest.raises(DataError) as caught:
        Locator.open(None, **{setting: path})
    assert str(caught.value) == f"RISKENGINE_GEOIP_{setting.upper()} names {path}, which does not exist."


@pytest.mark.parametrize("content", [b"", b"not a database", b"\0" * 100_000])
def test_what_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "city.mmdb"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"^RISKENGINE_GEOIP_CITY names .*city\.mmdb, which is not a whole "):
        city_only(path)


def test_a_truncated_file_is_refused(tmp_path: Path, world: World) -> None:
    whole = world.city.read_bytes()
    path = tmp_path / "city.mmdb"
    for length in range(0, len(whole), max(1, len(whole) // 50)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="which is not a whole MaxMind-format file"):
            city_only(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_refused(tmp_path: Path, world: World) -> None:
    path = tmp_path / "city.mmdb"
    path.write_bytes(world.city.read_bytes())
    path.chmod(0)
    with pytest.raises(DataError, match="which cannot be read: Permission denied"):
        city_only(path)


def test_a_file_of_another_type_is_refused(world: World) -> None:
    with pytest.raises(DataError, match='is of type "GeoLite2-ASN", not a City or Enterprise database'):
        city_only(world.asn)
    with pytest.raises(DataError, match="not an ASN or ISP database"):
        Locator.open(None, asn=world.city)
    with pytest.raises(DataError, match="not an Anonymous-IP database"):
        Locator.open(None, anonymous=world.city)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"RISKENGINE_GEOIP_CITY names the folder .* holds no \.mmdb file"):
        city_only(tmp_path)


def test_a_corrupt_record_is_unknown_and_said(tmp_path: Path) -> None:
    path = tmp_path / "city.mmdb"
    write_city_db(path, {"192.0.2.0/24": NEW_YORK, "4000::/16": {"city": "X" * 200, "country": "US"}})
    raw = bytearray(path.read_bytes())
    at = raw.index(b"X" * 200)
    raw[at - 2 : at] = b"\x5f\xff"  # the string now claims to reach far beyond the file
    path.write_bytes(bytes(raw))
    locator = city_only(path)
    assert locator.source().degraded == ()
    found = locator.locate(["4000::1", NEW_YORK_1])
    assert found.columns["located"].tolist() == [Located.UNKNOWN, Located.PLACE]
    assert locator.source().degraded == ("geo_damaged",)
    assert locator.explain("4000::1")["databases"][0]["says"] is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(data=st.data())
def test_no_damage_to_a_file_breaks_a_batch(tmp_path: Path, world: World, data: st.DataObject) -> None:
    raw = bytearray(world.city.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "city.mmdb"
    path.unlink(missing_ok=True)  # an open file is mapped: it is replaced, never overwritten
    path.write_bytes(bytes(raw))
    try:
        locator = city_only(path)
    except DataError:
        return
    found = locator.locate([NEW_YORK_1, TOKYO_1, EQUATOR_1, "2001:db8:1::1", "10.0.0.1"])
    assert len(found.columns) == 5
    latitude = found.columns["latitude"]
    assert (np.isnan(latitude) | (np.abs(latitude) <= 90)).all()


# Replacing files under way.


def test_a_replaced_file_is_seen_at_the_next_reload(tmp_path: Path) -> None:
    path = tmp_path / "city.mmdb"
    write_city_db(path, {"192.0.2.0/24": NEW_YORK})
    locator = city_only(path)
    assert not locator.reload()
    fresh = tmp_path / "fresh"
    write_city_db(fresh, {"192.0.2.0/24": {**NEW_YORK, "city": "Jersey City", "longitude": -74.08}})
    fresh.replace(path)
    assert locator.locate([NEW_YORK_1]).labels[0].city == "New York"
    assert locator.reload()
    assert locator.locate([NEW_YORK_1]).labels[0].city == "Jersey City"
    assert not locator.reload()


def test_a_bad_replacement_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "city.mmdb"
    write_city_db(path, {"192.0.2.0/24": NEW_YORK})
    locator = city_only(path)
    fresh = tmp_path / "fresh"
    fresh.write_bytes(b"half a download")
    fresh.replace(path)
    with pytest.raises(DataError, match="which is not a whole"):
        locator.reload()
    assert locator.locate([NEW_YORK_1]).labels[0].city == "New York"


# Explaining.


def walk(value: object) -> Iterator[object]:
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from walk(inner)


def test_an_explanation_holds_what_every_database_says(locator: Locator) -> None:
    told = locator.explain(WIFI_1)
    assert list(told)[:2] == ["address", "located"]
    assert (told["city"], told["asn"], told["located"]) == ("New York", 14654, "place")
    types = [entry["type"] for entry in told["databases"]]
    assert types == ["GeoLite2-City", "GeoLite2-ASN", "GeoIP2-Anonymous-IP", "built in", "built in"]
    says = [entry["says"] for entry in told["databases"]]
    assert says[0]["location"]["accuracy_radius"] == 20
    assert says[1]["autonomous_system_organization"] == "Wayport, Inc."
    assert says[2] is None
    assert says[4]["kind"] == "public_wifi"
    assert json.loads(json.dumps(told)) == told


def test_an_explanation_names_the_flags(locator: Locator) -> None:
    told = locator.explain(TOR_1)
    assert told["traits"] == ["tor_exit", "hosting"]
    assert told["databases"][2]["says"]["is_tor_exit_node"] is True


def test_an_explanation_of_a_flat_file_is_its_record(tmp_path: Path) -> None:
    path = tmp_path / "city-ipv4.mmdb"
    write_flat_db(path, {"192.0.2.0/24": NEW_YORK})
    told = city_only(path).explain(NEW_YORK_1)
    assert told["databases"][0]["says"]["city"] == "New York"
    assert told["radius_km"] is None


def test_an_explanation_of_what_is_nowhere(locator: Locator) -> None:
    told = locator.explain("10.0.0.1")
    assert (told["located"], told["traits"], told["latitude"]) == ("private", ["private"], None)
    assert locator.explain("banana")["databases"] == []


def test_conflicting_databases_are_both_shown(tmp_path: Path) -> None:
    city, anonymous = tmp_path / "enterprise.mmdb", tmp_path / "anonymous.mmdb"
    traits = {"user_type": "residential", "is_anonymous_vpn": False}
    write_city_db(city, {"192.0.2.0/24": {**NEW_YORK, "traits": traits}}, database_type="GeoIP2-Enterprise")
    write_anonymous_db(anonymous, {"192.0.2.0/24": {"is_anonymous": True, "is_anonymous_vpn": True}})
    locator = Locator.open(None, city, anonymous=anonymous)
    assert kinds(locator.locate([NEW_YORK_1])) == [Kind.VPN]
    first, second = (entry["says"] for entry in locator.explain(NEW_YORK_1)["databases"][:2])
    assert first["traits"]["user_type"] == "residential"
    assert second["is_anonymous_vpn"] is True


def test_a_record_that_geoip2_cannot_model_is_shown_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "city.mmdb"
    write_db(path, {"192.0.2.0/24": {"city": "Tokyo", "country_code": "JP"}}, "My-City")
    assert city_only(path).explain(NEW_YORK_1)["databases"][0]["says"] == {
        "city": "Tokyo",
        "country_code": "JP",
    }
