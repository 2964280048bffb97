"""riskengine's own CSV: the same fields as columns, nested ones dotted, an empty cell is an absent field."""

import pytest

from riskengine.errors import InvalidInput
from riskengine.event import Event, Mfa, NetworkClaim, Position, Report, Rtt
from riskengine.readers.log import Item, Skip
from riskengine.readers.table import Table

BASE = "user_id,ip,occurred_at"
ROW = "mira,192.0.2.1,2026-03-04T09:15:27Z"


def parse(header: str, row: str) -> Item:
    table = Table()
    assert table.parse(header.encode(), True) == ()
    found = table.parse(row.encode(), True)
    assert not isinstance(found, Skip)
    (item,) = found
    return item


def event(header: str, row: str) -> Event:
    item = parse(header, row)
    assert isinstance(item, Event)
    return item


def test_a_row_is_an_event() -> None:
    found = event(BASE, ROW)

    assert (found.user_id, found.ip, found.occurred_at) == ("mira", "192.0.2.1", 1_772_615_727_000)
    assert found.event_id is not None
    assert found.event_id.startswith("csv-")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_header_tells_the_separator(separator: str) -> None:
    assert event(BASE.replace(",", separator), ROW.replace(",", separator)).user_id == "mira"


def test_a_quoted_cell_may_hold_the_separator_and_quotes() -> None:
    found = event(BASE + ",user_agent", ROW + ',"Agent ""X"" (a, b)"')

    assert found.user_agent == 'Agent "X" (a, b)'


def test_empty_cells_are_absent() -> None:
    found = event(BASE + ",device_id,network.type,network.public,position.latitude,context.a,mfa", ROW + ",,,,,,")

    assert (found.device_id, found.network, found.position, found.context, found.mfa) == (None, None, None, {}, None)


def test_dotted_columns_make_the_nested_fields() -> None:
    found = event(
        BASE + ",network.type,network.secured,network.public,position.latitude,position.longitude,rtt.ms,rtt.edge,"
        "mfa.result,mfa.amr,context.team",
        ROW + ',wifi,FALSE,true,0,-0.5,12,lis,passed,"[""otp""]",red',
    )

    assert found.network == NetworkClaim(type="wifi", secured=False, public=True)
    assert found.position == Position(0.0, -0.5)
    assert found.rtt == Rtt(12.0, "lis")
    assert found.mfa == Mfa("passed", ("otp",))
    assert found.context == {"team": "red"}


def test_a_whole_object_or_list_may_stand_in_a_cell_as_json() -> None:
    found = event(BASE + ",network,groups,mfa", ROW + ',"{""type"": ""wifi""}","[""staff"", ""finance""]",passed')

    assert found.network == NetworkClaim(type="wifi")
    assert found.groups == ("staff", "finance")
    assert found.mfa == Mfa("passed")


def test_an_empty_user_is_no_account_and_only_fails() -> None:
    found = event(BASE + ",outcome,login", ",192.0.2.1,2026-03-04T09:15:27Z,failure,admin")

    assert (found.user_id, found.login) == (None, "admin")
    with pytest.raises(InvalidInput, match="/user_id may be null only with outcome failure"):
        parse(BASE + ",outcome", ",192.0.2.1,2026-03-04T09:15:27Z,success")


def test_a_row_may_be_a_report() -> None:
    header = "type," + BASE + ",event_id,result,amr,at"

    assert parse(header, 'report,,,,e1,step_up_failed,"[""otp""]",2026-03-04T09:16:00Z') == Report(
        "e1", "step_up_failed", ("otp",), 1_772_615_760_000
    )
    assert event(header, f"event,{ROW},e1,,,").event_id == "e1"
    with pytest.raises(InvalidInput, match="/ip is not a field"):
        parse(header, "report,,192.0.2.1,,e1,step_up_failed,,2026-03-04T09:16:00Z")


@pytest.mark.parametrize(
    ("header", "row", "why"),
    [
        pytest.param(BASE, "mira,banana,2026-03-04T09:15:27Z", "/ip must be", id="banana"),
        pytest.param(BASE, "mira,192.0.2.1,", "/occurred_at is required in a log", id="no_time"),
        pytest.param(BASE, "mira,192.0.2.1", "has 2 cells where the header has 3", id="too_few_cells"),
        pytest.param(BASE, ROW + ",x", "has 4 cells where the header has 3", id="too_many_cells"),
        pytest.param(BASE, '"mira,192.0.2.1,2026-03-04T09:15:27Z', "is not CSV", id="open_quote"),
        pytest.param(BASE, '"mira"x,192.0.2.1,2026-03-04T09:15:27Z', "is not CSV", id="quote_in_the_wrong_place"),
        pytest.param(BASE, "a\rb,192.0.2.1,2026-03-04T09:15:27Z", "is not CSV", id="bare_carriage_return"),
        pytest.param(BASE, "m" * 200_000 + ",192.0.2.1,x", "is not CSV", id="huge_cell"),
        pytest.param(BASE, " mira,192.0.2.1,2026-03-04T09:15:27Z", "/user_id must not begin", id="blank"),
        pytest.param(BASE + ",groups", ROW + ",staff", "/groups is not JSON", id="list_that_is_none"),
        pytest.param(BASE + ",groups", ROW + ",7", "/groups must be a list", id="number_for_a_list"),
        pytest.param(BASE + ",context", ROW + ",text", "/context must be an object", id="text_for_an_object"),
        pytest.param(BASE + ",network", ROW + ",{wifi}", "/network is not JSON", id="broken_object"),
        pytest.param(BASE + ",network.public", ROW + ",yes", "/network/public must be true or false", id="yes"),
        pytest.param(
            BASE + ",position.latitude,position.longitude",
            ROW + ",nan,0",
            "/position/latitude must lie between",
            id="nan",
        ),
        pytest.param(BASE + ",rtt.ms,rtt.edge", ROW + ",1_0,a", "/rtt/ms must be a number", id="underscore"),
        pytest.param(BASE + ",rtt.ms,rtt.edge", ROW + ",fast,a", "/rtt/ms must be a number", id="word_for_a_number"),
        pytest.param(BASE + ",type", ROW + ",login", "/type must be one of", id="unknown_type"),
    ],
)
def test_a_bad_row_is_rejected_with_the_field(header: str, row: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        parse(header, row)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        pytest.param("user_id,ip", "/occurred_at is missing from the header", id="missing"),
        pytest.param(BASE + ",colour", "column 4 is not a field", id="unknown"),
        pytest.param(BASE + ",network.colour", "column 4 is not a field", id="unknown_part"),
        pytest.param(BASE + ",context.", "column 4 is not a field", id="part_without_a_name"),
        pytest.param(BASE + ",ip", "/ip stands twice", id="twice"),
        pytest.param(BASE + ",network,network.type", "/network stands in the header both", id="whole_and_parts"),
        pytest.param(BASE + ",network.type,network", "/network stands in the header both", id="parts_and_whole"),
        pytest.param(BASE + ',"x', "is not CSV", id="open_quote"),
    ],
)
def test_a_bad_header_is_rejected_once_and_its_rows_are_passed_over(header: str, why: str) -> None:
    table = Table()

    with pytest.raises(InvalidInput, match=why):
        table.parse(header.encode(), True)
    assert table.parse(ROW.encode(), True) is Skip.NO_HEADER


def test_a_row_or_header_that_is_not_utf8_is_rejected() -> None:
    with pytest.raises(InvalidInput, match="not UTF-8"):
        Table().parse(b"\xff", True)
    table = Table()
    table.parse(BASE.encode(), True)
    with pytest.raises(InvalidInput, match="not UTF-8"):
        table.parse(b"\xff,192.0.2.1,x", True)


def test_a_last_row_without_a_line_end_is_taken_when_it_has_all_its_cells() -> None:
    table = Table()
    table.parse(BASE.encode(), True)

    assert table.parse(ROW.encode(), False)
