"""What the client says of itself: how it becomes columns, and where it contradicts its address."""

from dataclasses import replace
from math import nan
from typing import Any

import numpy as np
import pytest

from riskengine.batch import Batch, Located, Names
from riskengine.engine.admit import entry
from riskengine.engine.rows import event_rows, pack_items, unpack_item, zone_offset
from riskengine.engine.tokens import Tokeniser
from riskengine.errors import PolicyError
from riskengine.event import ACTIONS, NETWORK_TYPES, parse_event
from riskengine.geo import R99_PER_R67
from riskengine.history.record import NO_OFFSET, Records, blank
from riskengine.locate.atlas import PLACE, Label
from riskengine.network import Kind
from riskengine.policy.parse import parse
from riskengine.policy.policy import Policy
from riskengine.settings import package_files
from riskengine.signals.corroboration import (
    ACCURACY_MOST_KM,
    connection_mismatch,
    missing_evidence,
    position_mismatch,
    rtt_mismatch,
    tell,
    timezone_mismatch,
)
from tests import columns
from tests.doors import SEAL, arrivals_of
from tests.test_habits import habits
from tests.test_history import NEW_YORK, TOKYO, after, login

WINTER, JAPAN, INDIA = -300.0, 540.0, 330.0
TEXT = (package_files("data") / "policy.toml").read_text()
EDGES = "fra = [50.1, 8.7]\nnyc = [40.7, -74.0]"
HEAD = "[corroboration.edges]"


def with_edges(body: str = EDGES) -> Policy:
    """Return the shipped policy with these edges."""
    before, _, rest = TEXT.partition(HEAD)
    line, _, after_line = rest.partition("\n")
    return parse(f"{before}{HEAD}{line}\n{body}\n{after_line}")


POLICY = with_edges()
RULES = POLICY.corroboration
GROSS = POLICY.networks.gross_error
AT = Names(edges={"fra": 0, "nyc": 1, "moon": 2})


def signal(function: Any, item: Batch, record: Records | None = None) -> float:
    """Return what one signal says of one item."""
    known = blank(1) if record is None else record
    return float(np.round(columns.signal(function, item, known, POLICY, AT), 6)[0])


def facts(item: Batch, record: Records) -> np.ndarray:
    """Return the verdict in which the numbers of the sentences stand."""
    return columns.told(tell, item, record, POLICY, AT)


def keeps(zone: float = NO_OFFSET, **trusted: Any) -> Records:
    """Return a user who lives by this clock, and trusts what these logins showed."""
    record = after(login(-5, mfa=1, **trusted)) if trusted else blank(1)
    record["zone"] = zone
    return record


# How the columns come about

WHEN = 1_772_582_400_000  # 4 March 2026: winter in New York, summer in Auckland
HOME = (*NEW_YORK, int(Located.PLACE))


def rows_of(*bodies: dict[str, Any], place: tuple[float, float, int] = HOME, zone: str = "") -> tuple[Batch, Names]:
    """Return the rows of events at a place, and the names they use."""
    events = [parse_event({"user_id": "ana", "ip": "192.0.2.1", **body}) for body in bodies]
    timed = [replace(event, occurred_at=WHEN, event_id="e") for event in events]
    entries = [entry(at, one, Tokeniser(SEAL)) for at, one in enumerate(arrivals_of(timed))]
    columns = np.zeros(len(events), PLACE)
    columns["latitude"], columns["longitude"], columns["located"] = place
    labels = [Label(timezone=zone) for _ in events] if zone else []
    names = Names()
    return event_rows(entries, [0] * len(events), [1] * len(events), columns, names, labels), names


@pytest.mark.parametrize(
    ("place", "zone", "expected"),
    [
        pytest.param((*NEW_YORK, Located.PLACE), "America/New_York", -300.0, id="the_zone_the_database_names"),
        pytest.param((*NEW_YORK, Located.PLACE), "", -300.0, id="else_the_sun"),
        pytest.param((*NEW_YORK, Located.PLACE), "Moon/Tycho", -300.0, id="a_zone_nobody_knows"),
        pytest.param((-36.8, 174.8, Located.PLACE), "Pacific/Auckland", 780.0, id="summer_in_the_south"),
        pytest.param((0.0, 0.0, Located.PLACE), "", 0.0, id="zero_is_a_place"),
        pytest.param((0.0, 180.0, Located.PLACE), "", 720.0, id="the_antimeridian"),
        pytest.param((38.0, -97.0, Located.COUNTRY), "", nan, id="a_country_without_a_zone"),
        pytest.param((52.5, 19.4, Located.COUNTRY), "Europe/Warsaw", 60.0, id="a_country_of_one_zone"),
        pytest.param((nan, nan, Located.UNKNOWN), "", nan, id="nowhere"),
    ],
)
def test_the_clock_at_the_address(place: tuple[float, float, int], zone: str, expected: float) -> None:
    rows, _ = rows_of({}, place=place, zone=zone)

    np.testing.assert_equal(rows["offset"].tolist(), [expected])


def test_the_clock_follows_the_season() -> None:
    winter, summer = WHEN // 3_600_000, WHEN // 3_600_000 + 4000

    assert (zone_offset("America/New_York", winter), zone_offset("America/New_York", summer)) == (-300.0, -240.0)


def test_what_the_client_says_becomes_columns() -> None:
    told: dict[str, Any] = {
        "groups": ["staff", "admins", "staff"],
        "network": {"type": "cellular"},
        "timezone": "Asia/Kolkata",
        "position": {"latitude": 0.0, "longitude": -180.0, "accuracy_m": 2500},
        "rtt": {"ms": 12.5, "edge": "fra"},
    }
    rows, names = rows_of(told, {}, {"groups": ["admins", "staff"], "rtt": {"ms": 0, "edge": "nyc"}})

    assert names.groups == {("admins", "staff"): 0}
    assert names.edges == {"fra": 0, "nyc": 1}
    assert rows["groups"].tolist() == [0, -1, 0]
    assert rows["edge"].tolist() == [0, -1, 1]
    assert rows["claimed_type"].tolist() == [NETWORK_TYPES.index("cellular"), -1, -1]
    np.testing.assert_equal(rows["client_offset"].tolist(), [INDIA, nan, nan])
    np.testing.assert_equal(rows["client_latitude"].tolist(), [0.0, nan, nan])
    np.testing.assert_equal(rows["client_longitude"].tolist(), [-180.0, nan, nan])
    np.testing.assert_equal(rows["client_accuracy"].tolist(), [2.5, nan, nan])
    np.testing.assert_equal(rows["rtt"].tolist(), [12.5, nan, 0.0])


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [
        pytest.param(None, 1.0, id="not_said"),
        pytest.param(0, 0.05, id="too_good"),
        pytest.param(2e7, 2e4, id="as_said"),
    ],
)
def test_how_exact_a_position_claims_to_be(accuracy: float | None, expected: float) -> None:
    position = {"latitude": 1, "longitude": 1} | ({} if accuracy is None else {"accuracy_m": accuracy})
    rows, _ = rows_of({"position": position})

    assert rows["client_accuracy"].tolist() == [expected]


def test_a_kept_item_points_to_no_other_batch() -> None:
    rows, _ = rows_of({"groups": ["staff"], "rtt": {"ms": 1, "edge": "fra"}, "resource": "wiki"})
    kept = unpack_item(pack_items(rows)[0])

    assert [int(kept[name][0]) for name in ("groups", "edge", "resource", "source")] == [-1, -1, -1, -1]
    assert kept["rtt"][0] == 1.0


# Time zone


@pytest.mark.parametrize(
    ("client", "address", "expected"),
    [
        pytest.param(WINTER, WINTER, 0.0, id="the_same"),
        pytest.param(WINTER + 120, WINTER, 0.0, id="two_hours_are_a_neighbour"),
        pytest.param(WINTER + 240, WINTER, 0.49, id="four_hours_are_half_way"),
        pytest.param(WINTER - 240, WINTER, 0.49, id="behind_as_ahead"),
        pytest.param(JAPAN, WINTER, 1.0, id="ten_hours_the_other_way_around"),
        pytest.param(720.0, -720.0, 0.0, id="both_sides_of_the_date_line"),
        pytest.param(780.0, -660.0, 0.0, id="samoa_and_american_samoa"),
        pytest.param(nan, WINTER, nan, id="no_clock_told"),
        pytest.param(WINTER, nan, nan, id="no_clock_at_the_address"),
    ],
)
def test_two_clocks(client: float, address: float, expected: float) -> None:
    item = login(client_offset=client, offset=address)

    np.testing.assert_allclose(signal(timezone_mismatch, item), expected, atol=0.001)


@pytest.mark.parametrize(
    ("radius", "least", "most"),
    [
        pytest.param(25.0, 0.98, 1.0, id="a_city"),
        pytest.param(1000.0, 0.5, 0.7, id="a_region"),
        pytest.param(3000.0, 0.0, 0.0, id="a_continent"),
        pytest.param(nan, nan, nan, id="no_radius"),
    ],
)
def test_a_place_known_roughly_may_lie_in_another_zone(radius: float, least: float, most: float) -> None:
    value = signal(timezone_mismatch, login(client_offset=WINTER + 365, offset=WINTER, radius=radius))

    assert least <= value <= most if least == least else np.isnan(value)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(keeps(), 1.0, id="of_a_user_never_seen"),
        pytest.param(keeps(WINTER), 1.0, id="not_the_users_usual_clock_either"),
        pytest.param(keeps(JAPAN), 0.5, id="a_travellers_laptop_keeps_the_time_of_home"),
        pytest.param(keeps(JAPAN, prefix=4071), 0.0, id="the_usual_clock_behind_a_trusted_exit_abroad"),
        pytest.param(keeps(WINTER, prefix=4071), 1.0, id="another_clock_in_a_trusted_prefix"),
    ],
)
def test_the_users_own_clock_elsewhere(record: Records, expected: float) -> None:
    assert signal(timezone_mismatch, login(client_offset=JAPAN, offset=WINTER, prefix=4071), record) == expected


@pytest.mark.parametrize(
    ("given", "zone", "expected"),
    [
        pytest.param({"kind": Kind.VPN}, WINTER, 1.0, id="an_exit_in_the_right_country_and_a_clock_that_is_not"),
        pytest.param({"kind": Kind.VPN}, JAPAN, 0.0, id="the_users_own_clock_behind_a_tunnel"),
        pytest.param({"kind": Kind.VPN}, NO_OFFSET, nan, id="a_tunnel_and_no_clock_to_compare_with"),
        pytest.param({"kind": Kind.SATELLITE}, JAPAN, 0.0, id="a_ground_station_in_another_zone"),
        pytest.param({"kind": Kind.INFLIGHT}, JAPAN, 0.0, id="a_cabin"),
        pytest.param({"kind": Kind.RELAY}, JAPAN, 0.0, id="a_privacy_relay"),
        pytest.param({"kind": Kind.PRIVATE, "offset": nan, "radius": nan}, WINTER, 1.0, id="a_spoofed_private_address"),
        pytest.param({"kind": Kind.PRIVATE, "offset": nan, "radius": nan}, JAPAN, 0.0, id="a_private_address_at_home"),
    ],
)
def test_where_the_address_has_no_clock_the_usual_one_is_left(
    given: dict[str, Any], zone: float, expected: float
) -> None:
    item = login(**{"client_offset": JAPAN, "offset": WINTER, **given})

    np.testing.assert_equal(signal(timezone_mismatch, item, keeps(zone)), expected)


# Position

FAR: dict[str, Any] = {"client_latitude": TOKYO[0], "client_longitude": TOKYO[1], "client_accuracy": 1.0}
NEAR: dict[str, Any] = {**FAR, "client_latitude": NEW_YORK[0] + 0.9, "client_longitude": NEW_YORK[1]}  # 100 km north


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({}, nan, id="no_position_told"),
        pytest.param(NEAR, 0.0, id="within_what_both_may_be_out"),
        pytest.param(FAR, 1 - GROSS[Kind.BROADBAND], id="another_continent"),
        pytest.param({**FAR, "client_accuracy": 20_000.0}, 1 - GROSS[Kind.BROADBAND], id="claiming_to_be_anywhere"),
        pytest.param({**FAR, "radius": 5500.0}, 0.0, id="an_address_that_may_be_anywhere"),
        pytest.param({**FAR, "kind": Kind.MOBILE}, (1 - GROSS[Kind.MOBILE]) / 2, id="a_roaming_phone_is_half"),
        pytest.param({**FAR, "kind": Kind.VPN}, nan, id="a_tunnel"),
        pytest.param({**FAR, "latitude": nan, "longitude": nan, "radius": nan}, nan, id="no_place"),
        pytest.param(
            {"latitude": 0.0, "longitude": 179.9, **NEAR, "client_latitude": 0.0, "client_longitude": -179.9},
            0.0,
            id="across_the_antimeridian",
        ),
        pytest.param(
            {"latitude": 90.0, "longitude": 0.0, **NEAR, "client_latitude": 90.0, "client_longitude": 180.0},
            0.0,
            id="at_the_pole_every_longitude_is_one_place",
        ),
    ],
)
def test_a_position_against_the_addresss(given: dict[str, Any], expected: float) -> None:
    np.testing.assert_allclose(signal(position_mismatch, login(**given)), expected, atol=1e-6)


def test_a_wrong_place_grows_more_telling_with_the_distance() -> None:
    edge = (RULES.slack_km + R99_PER_R67 * (25.0 + 1.0)) / 111.195
    degrees = [edge - 0.01, edge + 0.01, edge + RULES.full_km / 2 / 111.195, edge + RULES.full_km / 111.195 + 0.1]
    values = [
        signal(position_mismatch, login(place=(0.0, 0.0), client_latitude=d, client_longitude=0.0, client_accuracy=1.0))
        for d in degrees
    ]

    assert values[0] == 0.0 < values[1] < 0.01
    assert values[2:] == pytest.approx([0.49, 0.98], abs=0.001)


def test_where_the_address_is_the_users_own_the_database_is_likelier_wrong() -> None:
    item = login(prefix=4071, **FAR)

    assert signal(position_mismatch, item, keeps(prefix=4071)) == signal(position_mismatch, item) / 2


def test_a_client_cannot_excuse_itself_by_being_vague() -> None:
    vague = [signal(position_mismatch, login(**{**FAR, "client_accuracy": km})) for km in (ACCURACY_MOST_KM, 20_000.0)]

    assert vague[0] == vague[1] > 0.9


# Round trip


@pytest.mark.parametrize(
    ("ms", "edge", "given", "expected"),
    [
        pytest.param(12.0, 0, {}, 1 - GROSS[Kind.BROADBAND], id="new_york_in_12_ms_from_frankfurt"),
        pytest.param(90.0, 0, {}, 0.0, id="in_90_ms_it_may_be"),
        pytest.param(5000.0, 1, {}, 0.0, id="a_long_one_proves_nothing"),
        pytest.param(1.0, 1, {}, 0.0, id="next_door"),
        pytest.param(0.0, 1, {}, 0.0, id="nothing_measured_is_not_held_against_the_neighbourhood"),
        pytest.param(0.0, 0, {}, 1 - GROSS[Kind.BROADBAND], id="nor_does_it_excuse"),
        pytest.param(12.0, 0, {"kind": Kind.MOBILE}, (1 - GROSS[Kind.MOBILE]) / 2, id="a_carrier_is_half"),
        pytest.param(12.0, 0, {"kind": Kind.RELAY}, nan, id="a_relay_answers_from_anywhere"),
        pytest.param(12.0, 2, {}, nan, id="an_edge_the_policy_does_not_know"),
        pytest.param(12.0, -1, {}, nan, id="no_edge"),
        pytest.param(nan, 0, {}, nan, id="no_round_trip"),
        pytest.param(12.0, 0, {"latitude": nan, "radius": nan}, nan, id="no_place"),
    ],
)
def test_light_is_no_faster(ms: float, edge: int, given: dict[str, Any], expected: float) -> None:
    item = login(**{"rtt": ms, "edge": edge, **given})

    np.testing.assert_allclose(signal(rtt_mismatch, item), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param("fra = [50.1]", "corroboration.edges.fra must be [latitude, longitude]", id="one_number"),
        pytest.param('fra = ["50.1", 8]', "corroboration.edges.fra must be [latitude, longitude]", id="a_text"),
        pytest.param("fra = 50.1", "corroboration.edges.fra must be [latitude, longitude]", id="a_number"),
        pytest.param("fra = [true, 8.7]", "corroboration.edges.fra must be [latitude, longitude]", id="a_truth"),
        pytest.param("fra = [91, 8.7]", "corroboration.edges.fra must be a latitude up to 90", id="beyond_the_pole"),
        pytest.param("fra = [nan, 8.7]", "corroboration.edges.fra must be a latitude up to 90", id="nan"),
    ],
)
def test_an_edge_is_a_point(body: str, told: str) -> None:
    line = 2 + TEXT[: TEXT.index(HEAD)].count("\n")
    with pytest.raises(PolicyError) as caught:
        with_edges(body)

    assert str(caught.value).startswith(f"policy, line {line}: {told}")


def test_a_policy_may_name_no_edges() -> None:
    before, _, rest = TEXT.partition(HEAD)

    assert parse(before + rest.partition("\n\n")[2]).corroboration.edges == {}
    assert RULES.edges == {"fra": (50.1, 8.7), "nyc": (40.7, -74.0)}


# Type of connection


@pytest.mark.parametrize(
    ("claim", "kind", "listed", "confidence", "expected"),
    [
        pytest.param("cellular", Kind.BROADBAND, Kind.BROADBAND, 0.9, 0.9, id="cellular_on_a_fixed_line"),
        pytest.param("cellular", Kind.BROADBAND, Kind.BROADBAND, 0.3, 0.3, id="as_sure_as_the_list"),
        pytest.param("cellular", Kind.BROADBAND, 0, 0.0, nan, id="an_unlisted_operator_may_be_a_carrier"),
        pytest.param("cellular", Kind.MOBILE, Kind.MOBILE, 0.9, 0.0, id="cellular_at_a_carrier"),
        pytest.param("cellular", Kind.SATELLITE, Kind.SATELLITE, 0.9, 0.0, id="a_phone_behind_a_dish"),
        pytest.param("cellular", Kind.INFLIGHT, Kind.INFLIGHT, 0.9, 0.0, id="a_phone_in_a_cabin"),
        pytest.param("cellular", Kind.RELAY, Kind.RELAY, 0.9, nan, id="a_relay_hides_the_line"),
        pytest.param("cellular", Kind.VPN, 0, 0.0, nan, id="so_does_a_tunnel"),
        pytest.param("cellular", Kind.UNKNOWN, 0, 0.0, nan, id="nothing_known_of_the_network"),
        pytest.param("cellular", Kind.PUBLIC_WIFI, 0, 0.0, 0.5, id="cellular_on_a_venues_wifi_as_a_database_says"),
        pytest.param("satellite", Kind.BROADBAND, Kind.BROADBAND, 0.9, 0.9, id="satellite_on_a_fixed_line"),
        pytest.param("satellite", Kind.SATELLITE, Kind.SATELLITE, 0.9, 0.0, id="satellite_by_satellite"),
        pytest.param("wired", Kind.INFLIGHT, Kind.INFLIGHT, 0.9, 0.9, id="a_wire_in_the_sky"),
        pytest.param("wired", Kind.MOBILE, Kind.MOBILE, 0.9, 0.45, id="a_mobile_router_has_a_socket"),
        pytest.param("wifi", Kind.MOBILE, Kind.MOBILE, 0.9, 0.0, id="a_phone_that_shares_its_line"),
        pytest.param("vpn", Kind.BROADBAND, Kind.BROADBAND, 0.9, 0.0, id="an_office_tunnel_runs_over_any_line"),
        pytest.param(None, Kind.BROADBAND, Kind.BROADBAND, 0.9, nan, id="no_claim"),
    ],
)
def test_a_type_of_connection_against_the_kind_of_network(
    claim: str | None, kind: Kind, listed: int, confidence: float, expected: float
) -> None:
    code = -1 if claim is None else NETWORK_TYPES.index(claim)
    item = login(claimed_type=code, kind=kind, listed=listed, listed_confidence=confidence)

    np.testing.assert_allclose(signal(connection_mismatch, item), expected, atol=1e-6)


# What is missing

TELLS: dict[str, Any] = {"client_offset": WINTER, "rtt": 9.0}
TALKER = habits(*[login(day, **TELLS) for day in range(RULES.usual_logins)])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(TELLS, 0.0, id="all_there"),
        pytest.param({"rtt": 9.0}, 0.5, id="one_of_two_is_missing"),
        pytest.param({}, 1.0, id="all_are_missing"),
        pytest.param({"claimed_type": 0, **FAR}, 1.0, id="other_things_make_up_for_nothing"),
        pytest.param({"action": ACTIONS.index("token_refresh")}, nan, id="a_program_tells_nothing"),
    ],
)
def test_what_this_user_always_tells_is_missed(given: dict[str, Any], expected: float) -> None:
    np.testing.assert_equal(signal(missing_evidence, login(**given), TALKER), expected)


@pytest.mark.parametrize(
    ("logins", "silent", "expected"),
    [
        pytest.param(RULES.usual_logins - 1, 0, nan, id="too_few_logins_to_say"),
        pytest.param(RULES.usual_logins, 0, 1.0, id="just_enough"),
        pytest.param(18, 2, 1.0, id="just_often_enough"),
        pytest.param(17, 3, nan, id="not_often_enough"),
    ],
)
def test_what_is_usual(logins: int, silent: int, expected: float) -> None:
    record = habits(*[login(day, **(TELLS if day < logins else {})) for day in range(logins + silent)])

    np.testing.assert_equal(signal(missing_evidence, login(), record), expected)


# For all of them


def test_the_sentences_have_their_numbers() -> None:
    item = login(offset=WINTER, client_offset=JAPAN, rtt=12.0, edge=0, **FAR)
    told = facts(item, TALKER)

    assert told["clock_ahead"].tolist() == [840.0], "as one says it, though a clock shows ten hours less"
    assert told["clock_usual"].tolist() == [False]
    assert told["claimed_km"].round().tolist() == [10849.0]
    assert told["edge_km"].round(-2).tolist() == [6200.0]
    assert told["missed"].tolist() == [0]
    assert facts(login(), TALKER)["missed"].tolist() == [0b101], "the time zone and the round trip"
    masked = facts(login(offset=WINTER, client_offset=JAPAN, kind=Kind.VPN), keeps(INDIA))
    assert (masked["clock_ahead"].tolist(), masked["clock_usual"].tolist()) == ([210.0], [True])


def test_saying_more_never_makes_a_login_look_better() -> None:
    silent = login(offset=WINTER)
    for name in (timezone_mismatch, position_mismatch, connection_mismatch, rtt_mismatch):
        assert np.isnan(signal(name, silent, TALKER))


def test_a_crowd_is_judged_as_each_alone() -> None:
    items = np.concatenate(
        [
            login(offset=WINTER, client_offset=JAPAN, rtt=12.0, edge=0, claimed_type=1, **FAR),
            login(),
            login(kind=Kind.MOBILE, offset=WINTER, client_offset=INDIA, rtt=1.0, edge=1, claimed_type=4, **NEAR),
        ]
    )
    records = np.concatenate([TALKER, TALKER, blank(1)])
    for function in (timezone_mismatch, position_mismatch, rtt_mismatch, connection_mismatch, missing_evidence):
        together = columns.signal(function, items, records, POLICY, AT)
        apart = [signal(function, items[i : i + 1], records[i : i + 1]) for i in range(3)]
        np.testing.assert_array_equal(np.round(together, 6), apart)
