"""Three schemas, one shape; nothing in a record can make reading it fail."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.locate.record import Spot, System, read_city, read_system, read_traits
from riskengine.network import Trait

FLAT = {
    **{"city": "Tokyo", "country_code": "JP", "latitude": 35.5, "longitude": 139.5, "postcode": ""},
    **{"state1": "", "state2": "", "timezone": "Asia/Tokyo"},
}
NESTED = {
    "city": {"names": {"de": "Tokio", "en": "Tokyo"}},
    "country": {"iso_code": "JP"},
    "location": {
        "latitude": 35.5, "longitude": 139.5, "accuracy_radius": 20, "time_zone": "Asia/Tokyo"
    },
    "subdivisions": [{"iso_code": "13", "names": {"en": "Tokyo"}}],
}  # fmt: skip


def test_a_flat_record_reads_like_a_nested_one_without_a_radius() -> None:
    flat, nested = read_city(FLAT), read_city(NESTED)
    assert (flat.latitude, flat.longitude, flat.city, flat.country) == (35.5, 139.5, "Tokyo", "JP")
    assert (nested.latitude, nested.longitude, nested.city, nested.country) == (35.5, 139.5, "Tokyo", "JP")
    assert flat.timezone == nested.timezone == "Asia/Tokyo"
    assert flat.region is None
    assert nested.region == "Tokyo"
    assert math.isnan(flat.radius_km)
    assert nested.radius_km == 20


def test_empty_strings_are_unknown() -> None:
    spot = read_city(dict.fromkeys(FLAT, ""))
    assert math.isnan(spot.latitude)
    assert (spot.city, spot.region, spot.country, spot.timezone) == (None, None, None, None)


def test_latitude_zero_is_a_place() -> None:
    assert read_city({**FLAT, "latitude": 0.0, "longitude": 0.0}).latitude == 0.0


def test_degrees_written_as_text_are_degrees() -> None:
    assert read_city({**FLAT, "latitude": "35.5", "longitude": "139.5"}).latitude == 35.5


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [(91, 0), (0, 181), (math.nan, 0), (0, math.inf), (True, 0), ("x", 0), (None, 0), ([], 0), (0, "")],
)
def test_what_is_not_on_the_globe_is_unknown(latitude: Any, longitude: Any) -> None:
    spot = read_city({**NESTED, "location": {"latitude": latitude, "longitude": longitude}})
    assert math.isnan(spot.latitude)
    assert math.isnan(spot.longitude)
    assert spot.city == "Tokyo"


@pytest.mark.parametrize("radius", [0, -1, math.nan, math.inf, "x", None, True])
def test_a_radius_that_is_none_is_unknown(radius: Any) -> None:
    assert math.isnan(read_city({**NESTED, "location": {"accuracy_radius": radius}}).radius_km)


def test_a_city_without_an_english_name_keeps_its_own() -> None:
    assert read_city({"city": {"names": {"pt": "Lisboa"}}}).city == "Lisboa"


@pytest.mark.parametrize(
    ("record", "want"),
    [
        pytest.param(
            {"autonomous_system_number": 64500, "autonomous_system_organization": "A"},
            System(64500, "A"),
            id="maxmind",
        ),
        pytest.param({"asn": "AS64500", "as_name": "A"}, System(64500, "A"), id="ipinfo"),
        pytest.param({"autonomous_system_number": "64500"}, System(64500, None), id="number_as_text"),
        pytest.param({"autonomous_system_number": 2**32}, System(0, None), id="too_large"),
        pytest.param({"autonomous_system_number": -1}, System(0, None), id="negative"),
        pytest.param({"asn": "ASx"}, System(0, None), id="no_number"),
        pytest.param(None, System(0, None), id="no_record"),
    ],
)
def test_autonomous_systems(record: object, want: System) -> None:
    assert read_system(record) == want


@pytest.mark.parametrize(
    ("record", "want"),
    [
        pytest.param({"is_anonymous": True, "is_tor_exit_node": True}, Trait.TOR_EXIT, id="tor"),
        pytest.param({"is_anonymous": True, "is_anonymous_vpn": True}, Trait.ANONYMOUS_VPN, id="vpn"),
        pytest.param({"is_anonymous": True, "is_hosting_provider": True}, Trait.HOSTING, id="only_hosting"),
        pytest.param({"is_anonymous": True}, Trait.ANONYMOUS, id="anonymous_of_no_kind"),
        pytest.param({"is_residential_proxy": True}, Trait.RESIDENTIAL_PROXY, id="residential"),
        pytest.param({"is_public_proxy": True}, Trait.PUBLIC_PROXY, id="public_proxy"),
        pytest.param({"user_type": "cafe"}, Trait.CAFE, id="cafe"),
        pytest.param({"user_type": "college"}, Trait(0), id="college_is_no_cafe"),
        pytest.param({"user_type": "consumer_privacy_network"}, Trait.RELAY, id="relay"),
        pytest.param({"connection_type": "Cellular"}, Trait.CELLULAR, id="cellular"),
        pytest.param({"connection_type": "Satellite"}, Trait.SATELLITE, id="satellite"),
        pytest.param({"is_anycast": True}, Trait.FLAG_ANYCAST, id="anycast"),
        pytest.param({"is_tor_exit_node": "yes"}, Trait(0), id="no_boolean"),
        pytest.param({}, Trait(0), id="nothing"),
    ],
)
def test_traits(record: dict[str, Any], want: Trait) -> None:
    assert read_traits(record) == want


def test_enterprise_traits_come_with_the_place() -> None:
    spot = read_city({**NESTED, "traits": {"autonomous_system_number": 64500, "user_type": "cellular"}})
    assert (spot.asn, spot.traits) == (64500, Trait.CELLULAR)


KEYS = st.sampled_from(
    [
        *("city", "country", "country_code", "location", "subdivisions", "traits", "names", "en", "iso_code"),
        *("latitude", "longitude", "accuracy_radius", "asn", "autonomous_system_number", "user_type"),
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.binary(max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_any_record_reads_as_something(record: object) -> None:
    spot = read_city(record)
    assert isinstance(spot, Spot)
    assert math.isnan(spot.latitude) == math.isnan(spot.longitude)
    assert spot.radius_km > 0 or math.isnan(spot.radius_km)
    assert isinstance(read_system(record), System)
    assert isinstance(read_traits(record), int)
