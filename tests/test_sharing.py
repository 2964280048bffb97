"""What one user's event sees of others on earlier days, and what is kept of it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskengine.batch import Names
from riskengine.engine.admit import entry
from riskengine.engine.arrival import Arrival
from riskengine.engine.board import Board
from riskengine.engine.rows import event_rows
from riskengine.engine.sharing import KINDS, count_days, day_spans, kind_of, shown
from riskengine.engine.tokens import Tokeniser
from riskengine.event import DAY_MS, OUTCOMES, Event
from riskengine.policy.policy import Sharing
from riskengine.store.contract import DayCell
from riskengine.store.memory import MemoryStore
from tests.doors import ADDRESSES, EPOCH, SEAL, arrivals_of, default_policy, locator_of
from tests.fixtures_geo import World

COLUMNS = (
    *("line_regulars", "line_user_days", "line_attempts", "line_failures", "line_failed_users"),
    *("prefix_regulars", "prefix_user_days", "network_regulars", "place_regulars", "country_regulars"),
)
REGULARS = [f"{kind}_regulars" for kind in KINDS]
KNOWN = default_policy().sharing.known_days


def event(day: float, user: str | None, place: str = "new_york", **given: object) -> Event:
    """Return a login of a user at a place of the tests' world on a day."""
    bare = Event(user, ADDRESSES[place], event_id="e", occurred_at=EPOCH + round(day * DAY_MS))
    return replace(bare, **given)  # type: ignore[arg-type]


def office(days: Sequence[int], users: int, place: str = "new_york") -> list[Event]:
    """Return so many users at a place on each of these days."""
    return [event(day, f"c{user}", place) for day in days for user in range(users)]


def run(
    world: World, arrivals: Sequence[Arrival], cuts: Sequence[int] = (), sharing: Sharing | None = None
) -> tuple[np.ndarray, list[list[DayCell]]]:
    """Return the events' rows as counted in batches between the cuts, and the cells that each batch changed."""
    store, tokeniser, locator = MemoryStore(), Tokeniser(SEAL), locator_of(world)
    sharing = sharing or default_policy().sharing
    rows, changed = [], []
    for start, end in zip([0, *cuts], [*cuts, len(arrivals)], strict=True):
        entries = [entry(index, arrival, tokeniser) for index, arrival in enumerate(arrivals[start:end])]
        places = locator.locate([one.event.ip for one in entries])
        users = [-1 if one.tokens.user_ref is None else 0 for one in entries]
        batch = event_rows(entries, users, [0] * len(entries), places.columns, Names())
        if not entries:
            continue
        show = shown(batch, entries, tokeniser.seal)
        with store.transaction() as tx:
            changed.append(count_days(batch, show, Board().load(tx, day_spans(show, sharing.days)), sharing))
            tx.save_days(changed[-1])
        rows.append(batch)
    return np.concatenate(rows), changed


def last(world: World, events: Sequence[Event]) -> dict[str, int]:
    """Return what the last of these events sees."""
    rows, _ = run(world, arrivals_of(events))
    return {name: int(rows[name][-1]) for name in COLUMNS}


def test_colleagues_known_for_long_count_everywhere_they_come(world: World) -> None:
    seen = last(world, [*office([0, KNOWN, KNOWN + 1], 5), event(KNOWN + 2, "ana")])

    assert {name: seen[name] for name in REGULARS} == dict.fromkeys(REGULARS, 5)
    # They are known since day KNOWN, and came on three days.
    assert seen["line_user_days"] == seen["prefix_user_days"] == 15
    assert (seen["line_attempts"], seen["line_failures"]) == (15, 0)


def test_counters_of_an_address_stand_beside_those_of_its_prefix(world: World) -> None:
    one, neighbour, elsewhere = (
        entry(0, arrival, Tokeniser(SEAL))
        for arrival in arrivals_of(
            [event(0, "ana", ip="203.0.113.7"), event(0, "ana", ip="203.0.113.8"), event(0, "ana", ip="198.51.100.7")]
        )
    )

    def upper(key: int) -> int:
        return key >> 32

    for other in (one, neighbour):
        assert upper(other.tokens.address_key64) == upper(other.tokens.prefix_key64) == upper(one.tokens.prefix_key64)
    assert len({key for each in (one, neighbour) for key in (each.tokens.address_key64, each.tokens.prefix_key64)}) == 3
    assert upper(elsewhere.tokens.prefix_key64) != upper(one.tokens.prefix_key64)

    _, [cells] = run(world, arrivals_of([event(0, "ana")]))
    of_kind = {KINDS[kind_of(cell.key)]: cell.key for cell in cells if kind_of(cell.key) < len(KINDS)}
    assert of_kind.keys() == set(KINDS)
    assert upper(of_kind["line"]) == upper(of_kind["prefix"])
    assert upper(of_kind["network"]) != upper(of_kind["prefix"])


def test_a_neighbour_line_shares_prefix_network_and_place_but_not_the_line(world: World) -> None:
    near = event(KNOWN + 2, "ana", ip="192.0.2.11")
    seen = last(world, [*office([0, KNOWN], 5), near])

    assert [seen[name] for name in REGULARS] == [0, 5, 5, 5, 5]
    assert seen["line_attempts"] == 0


def test_fresh_accounts_are_nobodys_colleagues(world: World) -> None:
    seen = last(world, [*office(range(KNOWN), 30), event(KNOWN, "ana")])

    assert {name: seen[name] for name in REGULARS} == dict.fromkeys(REGULARS, 0)
    assert seen["line_user_days"] == 0


def test_nobody_is_their_own_colleague(world: World) -> None:
    seen = last(world, [event(day, "ana") for day in range(KNOWN + 9)])

    assert set(seen.values()) == {0}


def test_what_happens_today_is_not_seen_today(world: World) -> None:
    seen = last(world, [*office([0, KNOWN], 5), event(KNOWN + 0.3, "ana")])

    assert seen["line_regulars"] == 0


def test_what_is_long_past_is_not_seen(world: World) -> None:
    days = default_policy().sharing.days

    assert last(world, [*office([0, KNOWN], 5), event(KNOWN + days, "ana")])["line_regulars"] == 5
    assert last(world, [*office([0, KNOWN], 5), event(KNOWN + days + 1, "ana")])["line_regulars"] == 0


def test_who_was_tried_in_vain_is_seen_also_without_an_account(world: World) -> None:
    tries = [event(0, None, outcome="failure", login=f"guess{number}") for number in range(6)]
    tries += [event(0, "ben", outcome="failure")] * 40  # a broken client counts once a day
    seen = last(world, [*tries, event(0, "eve"), event(1, "ana")])

    assert (seen["line_attempts"], seen["line_failures"], seen["line_failed_users"]) == (8, 7, 7)


def test_a_refreshed_token_shows_nothing(world: World) -> None:
    refreshed = [replace(one, action="token_refresh") for one in office([0, KNOWN, KNOWN + 1], 5)]

    assert set(last(world, [*refreshed, event(KNOWN + 2, "ana")]).values()) == {0}


def test_an_unlocatable_address_teaches_nothing_of_anybody(world: World) -> None:
    seen = last(world, [*office([0, KNOWN, KNOWN + 1], 5, "private"), event(KNOWN + 2, "ana", "private")])

    assert set(seen.values()) == {0}


def test_a_gateway_is_in_no_place_and_no_country(world: World) -> None:
    seen = last(world, [*office([0, KNOWN, KNOWN + 1], 5, "tor"), event(KNOWN + 2, "ana", "tor")])

    assert [seen[name] for name in REGULARS] == [5, 5, 5, 0, 0]


def test_realms_know_nothing_of_each_other(world: World) -> None:
    others = [replace(one, realm="other") for one in arrivals_of(office([0, KNOWN, KNOWN + 1], 5))]
    rows, _ = run(world, [*others, *arrivals_of([event(KNOWN + 2, "ana")])])

    assert all(rows[name][-1] == 0 for name in COLUMNS)


def test_a_user_who_comes_again_the_same_day_changes_nothing(world: World) -> None:
    events = [event(0, "ana"), event(0.1, "ana"), event(1, "ana"), event(KNOWN, "ana"), event(KNOWN + 0.1, "ana")]
    _, changed = run(world, arrivals_of(events), range(1, len(events)))

    # Five kinds of cell; the first time also the user's own, which says since when they are known.
    assert [len(cells) for cells in changed] == [6, 0, 5, 5, 0]


@st.composite
def sequences(draw: st.DrawFn) -> list[Arrival]:
    """Return logins of few users at few places, some late, some failed, in two realms."""
    events, realms = [], []
    day = 0.0
    for _ in range(draw(st.integers(1, 25))):
        day += draw(st.sampled_from([0, 0, 0.4, 1, 2]))
        user = draw(st.sampled_from([*(f"u{number}" for number in range(6)), None]))
        outcome = "failure" if user is None else draw(st.sampled_from(OUTCOMES))
        place = draw(st.sampled_from(["new_york", "new_york_2", "tokyo", "wifi", "tor", "private"]))
        login = draw(st.sampled_from([None, "guess"])) if user is None else None
        late = draw(st.sampled_from([0, 0, 0, 1, 4]))
        events.append(event(day - late, user, place, outcome=outcome, login=login))
        realms.append(draw(st.sampled_from(["default", "default", "other"])))
    return [replace(one, realm=realm) for one, realm in zip(arrivals_of(events), realms, strict=True)]


@settings(max_examples=60)
@given(sequences(), st.data())
def test_any_split_gives_the_same_columns(world: World, arrivals: list[Arrival], data: st.DataObject) -> None:
    sharing = replace(default_policy().sharing, known_days=2, days=5)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(arrivals)), max_size=4)))
    whole, _ = run(world, arrivals, (), sharing)
    split, _ = run(world, arrivals, cuts, sharing)
    single, _ = run(world, arrivals, range(1, len(arrivals)), sharing)

    for name in COLUMNS:
        assert split[name].tolist() == whole[name].tolist() == single[name].tolist(), name


def test_the_split_is_not_kept_by_silence(world: World) -> None:
    """With those limits such sequences do see regulars, and failures, in a batch and across batches."""
    sharing = replace(default_policy().sharing, known_days=2, days=5)
    events = [*office([0, 2, 3], 2), event(3, "c0", outcome="failure"), event(4, "ana")]
    for cuts in ((), (5,), range(1, 8)):
        rows, _ = run(world, arrivals_of(events), cuts, sharing)
        assert {name: int(rows[name][-1]) for name in COLUMNS} == {
            **dict.fromkeys(REGULARS, 2),
            **{"line_user_days": 6, "prefix_user_days": 6},
            **{"line_attempts": 7, "line_failures": 1, "line_failed_users": 1},
        }


@pytest.mark.parametrize("late", [1, 3])
def test_a_late_login_is_seen_by_what_comes_after_it_and_by_nothing_before(world: World, late: float) -> None:
    sharing = replace(default_policy().sharing, known_days=0)
    ana, ben = event(10, "ana"), event(10 - late, "ben")
    rows, _ = run(world, arrivals_of([ana, ben, ben, ana]), (), sharing)

    assert rows["line_regulars"].tolist() == [0, 0, 0, 1]
