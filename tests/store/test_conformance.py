"""What every store promises, held against memory, SQLite and PostgreSQL alike."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from riskengine.errors import Conflict, StoreUnavailable
from riskengine.store.contract import (
    Cell,
    CellKey,
    ClientRow,
    DayCell,
    EventRow,
    HistoryRow,
    PolicyRow,
    ReportRow,
    SessionRow,
    SigningKeyRow,
    Store,
)
from tests.store.rows import ALICE, BOB, access_key, cells_of, event, history, key, report

BIG = 2**64 - 1
FAR = 2**63 - 1  # the largest key of a day cell
LOW, HIGH = -(2**63), 2**63 - 1  # a bitmap's first bit alone, and all the others


def save(
    store: Store,
    events: tuple[EventRow, ...] = (),
    reports: tuple[ReportRow, ...] = (),
    states: dict[int, str] | None = None,
    histories: tuple[HistoryRow, ...] = (),
    cells: dict[CellKey, Cell] | None = None,
) -> None:
    """Claim the events' ids and save everything in one transaction."""
    with store.transaction() as tx:
        tx.claim_ids([(row.event_key, row.id, row.fingerprint) for row in events])
        tx.save(events, reports, states or {}, histories, cells or {})


def everything(store: Store) -> list[Any]:
    """Return all that a store holds of two users, as far as the contract lets one see it."""
    with store.transaction() as tx:
        return [
            store.counts(),
            list(store.events()),
            tx.items_of(ALICE),
            tx.items_of(BOB),
            tx.load_histories([ALICE, BOB]),
            cells_of(tx.load_cells([("user", 1, 0, 10), ("address", BIG, 0, 10)])),
            sorted(tx.load_days([(1, 0, 10), (FAR, 0, 10)])),
            sorted(tx.find_events([key(f"event {row}") for row in range(100)])),
        ]


def test_a_new_store_is_empty(store: Store) -> None:
    assert store.is_empty()
    assert store.counts() == {"events": 0, "reports": 0, "users": 0}
    assert [*store.events(), *store.reports()] == []
    assert store.access_keys() == []


def test_an_event_comes_back_as_it_was_saved(store: Store) -> None:
    full = event(1, resource="payroll", login_index=key("login"), session_index=key("session"), score=1000)
    bare = event(2, user=None, seq=0, country=None, city=None, asn=None, device_index=None, score=0)

    save(store, (full, bare))

    with store.transaction() as tx:
        assert tx.find_events([full.event_key, bare.event_key, key("none")]) == {
            full.event_key: full,
            bare.event_key: bare,
        }
        assert tx.events_by_id([1, 2, 3]) == {1: full, 2: bare}
    assert store.read_event(full.event_key) == (full, [])
    assert list(store.events()) == [full, bare]
    assert not store.is_empty()


def test_what_is_not_there_is_absent(store: Store) -> None:
    with store.transaction() as tx:
        assert tx.find_events([key("none")]) == {}
        assert tx.events_by_id([5]) == {}
        assert tx.load_histories([ALICE]) == {}
        assert cells_of(tx.load_cells([("user", 1, 0, 10)])) == {}
        assert tx.items_of(ALICE) == ([], [])
        assert tx.reports_on(5) == []
    assert store.read_event(key("none")) is None
    assert store.access_key("none") is None
    assert store.meta("none") is None


def test_asking_for_nothing_gives_nothing(store: Store) -> None:
    with store.transaction() as tx:
        assert tx.lock_users([]) == set()
        assert tx.claim_ids([]) == {}
        assert tx.find_events([]) == {}
        assert tx.events_by_id([]) == {}
        assert tx.load_histories([]) == {}
        assert cells_of(tx.load_cells([])) == {}
        assert tx.load_days([]) == []
        tx.save([], [], {}, [], {})
        tx.save_days([])


def test_a_transaction_reads_what_it_wrote(store: Store) -> None:
    row = event(1)
    with store.transaction() as tx:
        tx.claim_ids([(row.event_key, row.id, row.fingerprint)])
        tx.save([row], [report(1)], {1: "step_up_passed"}, [history()], {CellKey("user", 1, 5): Cell(1, 1, ((7, 1),))})

        assert tx.find_events([row.event_key])[row.event_key].state == "step_up_passed"
        assert len(tx.reports_on(1)) == 1
        assert tx.load_histories([ALICE]) == {ALICE: history()}
        assert cells_of(tx.load_cells([("user", 1, 5, 5)])) == {CellKey("user", 1, 5): Cell(1, 1, ((7, 1),))}


def test_an_exception_rolls_everything_back(store: Store) -> None:
    cells = {CellKey("user", 1, 5): Cell(2, 2, ((7, 1), (8, 1))), CellKey("address", BIG, 5): Cell(1, 1, ())}
    save(store, (event(1),), (report(1),), {1: "step_up_passed"}, (history(),), cells)
    save_days(store, DayCell(1, 5, 1, 2, 4))
    before = everything(store)

    with pytest.raises(ZeroDivisionError), store.transaction() as tx:  # noqa: PT012 (what comes before the error)
        tx.claim_ids([(key("event 2"), 2, key("body"))])
        tx.save(
            [event(2, seq=3), event(3, BOB)],
            [report(1, 4), report(3, 2, BOB)],
            {1: "confirmed_compromised", 2: "dismissed"},
            [history(seq=9, record=b"other"), history(BOB)],
            {CellKey("user", 1, 5): Cell(5, 5, ((8, 4), (9, 1))), CellKey("user", 1, 6): Cell(1, 1, ((1, 1),))},
        )
        tx.save_days([DayCell(1, 5, 8, 8, 8), DayCell(1, 6, 1, 1, 1)])
        raise ZeroDivisionError

    assert everything(store) == before
    with store.transaction() as tx:
        assert tx.claim_ids([(key("event 2"), 22, key("body"))]) == {}


def test_a_second_row_of_one_id_is_a_defect_and_rolls_back(store: Store) -> None:
    save(store, (event(1),))

    with pytest.raises(Exception, match=r"(?i)unique|stored already|duplicate"), store.transaction() as tx:
        tx.save([event(2), event(1)], [], {}, [], {})

    assert store.counts()["events"] == 1


def test_a_claimed_id_is_given_back_with_its_row(store: Store) -> None:
    row = event(1)
    save(store, (row,))

    with store.transaction() as tx:
        taken = tx.claim_ids([(key("event 2"), 2, key("body")), (row.event_key, 3, key("other body"))])

    assert taken == {row.event_key: 1}


def test_claiming_the_same_again_says_that_it_was_taken(store: Store) -> None:
    with store.transaction() as tx:
        assert tx.claim_ids([(key("a"), 1, key("body"))]) == {}
        assert tx.claim_ids([(key("a"), 1, key("body"))]) == {key("a"): 1}
    with store.transaction() as tx:
        assert tx.claim_ids([(key("a"), 1, key("body"))]) == {key("a"): 1}


def test_the_first_claim_of_a_key_within_one_call_wins(store: Store) -> None:
    with store.transaction() as tx:
        assert tx.claim_ids([(key("a"), 2, key("x")), (key("b"), 3, key("x")), (key("a"), 1, key("y"))]) == {}
        assert tx.claim_ids([(key("a"), 9, key("x")), (key("b"), 9, key("x"))]) == {key("a"): 2, key("b"): 3}


def test_an_id_that_is_claimed_without_an_event_finds_none(store: Store) -> None:
    with store.transaction() as tx:
        tx.claim_ids([(key("a"), 1, key("body"))])

    assert store.read_event(key("a")) is None
    with store.transaction() as tx:
        assert tx.find_events([key("a")]) == {}


def test_a_lone_transaction_locks_every_user_it_asks_for(store: Store) -> None:
    with store.transaction() as tx:
        assert tx.lock_users([BOB, ALICE, BOB]) == {ALICE, BOB}
        assert tx.lock_users([ALICE]) == {ALICE}


def test_items_of_a_user_come_in_the_order_of_their_numbers(store: Store) -> None:
    late, early = event(1, seq=5), event(2, seq=1)
    passed, ended = report(1, 6), report(None, 2, result="remediated")
    save(store, (late, early, event(3, BOB)), (passed, ended, report(3, 2, BOB)))

    with store.transaction() as tx:
        assert tx.items_of(ALICE) == ([early, late], [ended, passed])


def test_reports_on_an_event_come_in_the_order_of_their_numbers(store: Store) -> None:
    second, first = report(1, 7, result="confirmed_safe"), report(1, 6, result="step_up_failed")
    save(store, (event(1), event(2)), (second, first, report(2, 8)))

    with store.transaction() as tx:
        assert tx.reports_on(1) == [first, second]
    found = store.read_event(key("event 1"))
    assert found is not None
    assert found[1] == [first, second]


def test_all_reports_come_in_the_order_in_which_they_arrived(store: Store) -> None:
    rows = [report(10, id=3, user=BOB), report(10, id=1), report(None, id=2, result="remediated")]
    save(store, (event(10),), tuple(rows))

    assert [row.id for row in store.reports()] == [1, 2, 3]
    assert set(store.reports()) == set(rows)


def test_a_state_changes_the_events_it_names_and_no_other(store: Store) -> None:
    save(store, (event(1), event(2), event(3)))

    save(store, states={1: "confirmed_compromised", 3: "dismissed", 99: "dismissed"})

    assert [row.state for row in store.events()] == ["confirmed_compromised", "open", "dismissed"]


def test_a_history_is_replaced(store: Store) -> None:
    save(store, histories=(history(ALICE, 1, b"first"), history(BOB, 1, b"his")))
    save(store, histories=(history(ALICE, 2, bytes(range(256)) * 8),))

    with store.transaction() as tx:
        assert tx.load_histories([ALICE, BOB]) == {
            ALICE: history(ALICE, 2, bytes(range(256)) * 8),
            BOB: history(BOB, 1, b"his"),
        }
    assert store.counts()["users"] == 2


def test_counts_are_added_up_and_users_joined(store: Store) -> None:
    at = CellKey("address", BIG, 5)
    save(store, cells={at: Cell(3, 3, ((2, 1), (4_294_967_295, 2)))})
    save(store, cells={at: Cell(3, 2, ((1, 1), (2, 1))), CellKey("prefix", BIG, 5): Cell(9, 0, ())})

    with store.transaction() as tx:
        found = cells_of(tx.load_cells([("address", BIG, 5, 5)]))

    assert found == {at: Cell(6, 5, ((1, 1), (2, 2), (4_294_967_295, 2)))}


def test_a_span_holds_both_its_ends_and_nothing_beside(store: Store) -> None:
    kinds = ("user", "address")
    cells = {CellKey(kind, 7, minute): Cell(1, 1, ((minute, 1),)) for kind in kinds for minute in range(9)}
    save(store, cells=cells | {CellKey("user", 8, 4): Cell(1, 0, ())})

    with store.transaction() as tx:
        found = cells_of(tx.load_cells([("user", 7, 3, 5)]))

    assert found == {CellKey("user", 7, minute): Cell(1, 1, ((minute, 1),)) for minute in (3, 4, 5)}


def test_overlapping_spans_count_nothing_twice(store: Store) -> None:
    save(store, cells={CellKey("user", 7, minute): Cell(1, 1, ((3, 1),)) for minute in range(20)})

    with store.transaction() as tx:
        found = cells_of(tx.load_cells([("user", 7, 0, 9), ("user", 7, 5, 12), ("user", 7, 5, 6), ("user", 7, 15, 15)]))

    assert found == {CellKey("user", 7, minute): Cell(1, 1, ((3, 1),)) for minute in (*range(13), 15)}


def test_more_keys_than_a_statement_may_hold_are_all_looked_up(store: Store) -> None:
    rows = tuple(event(row, seq=row) for row in range(1, 2501))
    users = tuple(history(row.to_bytes(16)) for row in range(2500))
    save(store, rows, histories=users)

    with store.transaction() as tx:
        assert len(tx.events_by_id(range(1, 5001))) == 2500
        assert len(tx.find_events([row.event_key for row in rows])) == 2500
        assert len(tx.load_histories([row.user_ref for row in users])) == 2500
        assert len(tx.claim_ids([(row.event_key, row.id, row.fingerprint) for row in rows])) == 2500
        assert len(tx.items_of(ALICE)[0]) == 2500
    assert [row.id for row in store.events()] == list(range(1, 2501))
    assert store.counts() == {"events": 2500, "reports": 0, "users": 2500}


def save_days(store: Store, *cells: DayCell) -> None:
    with store.transaction() as tx:
        tx.save_days(cells)


def test_bitmaps_of_a_day_are_joined(store: Store) -> None:
    save_days(store, DayCell(FAR, 5, LOW, 1, 0), DayCell(FAR, 6, 0, 0, 9), DayCell(1, 5, 7, 7, 7))
    save_days(store, DayCell(FAR, 5, HIGH, 6, 0))

    with store.transaction() as tx:
        assert sorted(tx.load_days([(FAR, 0, 10)])) == [DayCell(FAR, 5, -1, 7, 0), DayCell(FAR, 6, 0, 0, 9)]
        tx.save_days([DayCell(FAR, 5, 0, 8, 0)])
        assert tx.load_days([(FAR, 5, 5)]) == [DayCell(FAR, 5, -1, 15, 0)]


def test_a_span_of_days_holds_both_its_ends_and_nothing_beside(store: Store) -> None:
    save_days(store, *(DayCell(key, day, day, 1, 0) for key in (7, 8, 9) for day in range(-1, 9)))

    with store.transaction() as tx:
        found = tx.load_days([(7, 3, 5), (8, -1, -1), (6, 0, 9)])

    assert sorted(found) == [DayCell(7, day, day, 1, 0) for day in (3, 4, 5)] + [DayCell(8, -1, -1, 1, 0)]


def test_access_keys_are_kept_oldest_first(store: Store) -> None:
    young, old = access_key("young", created_at=300), access_key("old", scopes=("admin",), realm="acme")
    store.add_access_key(young)
    store.add_access_key(old)

    assert store.access_keys() == [old, young]
    assert store.access_key("old") == old
    assert not store.is_empty()


def test_a_second_access_key_of_one_id_is_a_conflict(store: Store) -> None:
    store.add_access_key(access_key("one"))

    with pytest.raises(Conflict):
        store.add_access_key(access_key("one", realm="other"))

    assert store.access_keys() == [access_key("one")]


def test_a_revoked_access_key_is_still_found_and_keeps_its_first_date(store: Store) -> None:
    store.add_access_key(access_key("one", scopes=()))

    assert store.revoke_access_key("one", 150)
    assert store.revoke_access_key("one", 170)

    assert store.access_key("one") == access_key("one", scopes=(), revoked_at=150)


def test_revoking_an_access_key_that_is_not_there_says_so(store: Store) -> None:
    assert not store.revoke_access_key("none", 150)


def test_a_session_is_found_touched_and_ended_once(store: Store) -> None:
    session, link = SessionRow(b"s", "session", "one", 10, 10, 900), SessionRow(b"l", "link", "one", 20, 20, 800)
    store.add_session(session)
    store.add_session(link)

    store.touch_session(b"s", 70)
    store.touch_session(b"none", 70)

    assert store.session(b"s") == session._replace(seen_at=70)
    assert store.session(b"none") is None
    assert [store.end_session(b"l") for _ in range(2)] == [True, False]
    assert store.session(b"l") is None


def test_a_new_session_lets_go_of_those_that_expired(store: Store) -> None:
    for digest, expires_at in ((b"old", 50), (b"young", 51)):
        store.add_session(SessionRow(digest, "session", "one", 10, 10, expires_at))

    store.add_session(SessionRow(b"new", "session", "one", 50, 50, 90))

    assert [store.session(digest) is not None for digest in (b"old", b"young", b"new")] == [False, True, True]


def test_changes_of_the_policy_are_kept_newest_first(store: Store) -> None:
    rows = [
        PolicyRow(0, 5 + number, "cli:ops", "file", f"v{number}", "mine", "text é\n" * 3000, mode, "v0")
        for number, mode in enumerate((None, "observe", None))
    ]

    stored = [store.add_policy(row) for row in rows]

    assert [replace(row, id=0) for row in stored] == rows
    assert store.policies(9) == stored[::-1]
    assert store.policies(2) == stored[:0:-1]
    assert stored[0].id < stored[1].id < stored[2].id
    assert store.is_empty()


def test_a_new_store_has_no_policy_of_its_own(store: Store) -> None:
    assert store.policies(1) == []


def test_a_named_value_is_replaced(store: Store) -> None:
    store.set_meta("seal_check", b"\x00one")
    store.set_meta("other", b"")
    store.set_meta("seal_check", b"two")

    assert store.meta("seal_check") == b"two"
    assert store.meta("other") == b""
    assert store.is_empty()


def test_the_audit_trail_takes_what_it_is_given(store: Store) -> None:
    for at in (5, 5):
        store.audit(at, "default", "ops", "keys.create", "key-1", b"\x00sealed", "0" * 64)


def test_a_history_alone_makes_a_store_not_empty(store: Store) -> None:
    save(store, histories=(history(),))

    assert not store.is_empty()


def test_an_open_store_answers_a_ping(store: Store) -> None:
    store.ping()


def test_a_closed_store_refuses_everything(store: Store) -> None:
    store.close()

    with pytest.raises(StoreUnavailable, match="closed"):
        store.ping()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.read_event(key("any"))
    with pytest.raises(StoreUnavailable, match="closed"), store.transaction():
        pass


_FAILURES = st.dictionaries(st.integers(0, 2**32 - 1), st.integers(1, 5), max_size=3)
_CELLS = st.dictionaries(
    st.builds(CellKey, st.sampled_from(["user", "address"]), st.sampled_from([0, 1, BIG]), st.integers(0, 6)),
    st.builds(Cell, st.integers(0, 3), st.integers(0, 3), _FAILURES.map(lambda users: tuple(users.items()))),
    max_size=6,
)


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    # A store is reused by all examples, so counts only ever grow: the model grows beside it.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(batches=st.lists(_CELLS, max_size=4), span=st.tuples(st.integers(0, 6), st.integers(0, 6)))
def test_any_counts_load_as_their_sum(store: Store, batches: list[dict[CellKey, Cell]], span: tuple[int, int]) -> None:
    every = [(kind, number, 0, 6) for kind in ("user", "address") for number in (0, 1, BIG)]
    with store.transaction() as tx:
        model = cells_of(tx.load_cells(every))
    for batch in batches:
        save(store, cells=batch)
        for at, cell in batch.items():
            had = model.get(at, Cell(0, 0, ()))
            users = sorted((Counter(dict(had.users)) + Counter(dict(cell.users))).items())
            model[at] = Cell(had.attempts + cell.attempts, had.failures + cell.failures, tuple(users))

    with store.transaction() as tx:
        first, last = span
        found = cells_of(tx.load_cells([("user", BIG, first, last)]))

    assert found == {
        at: cell for at, cell in model.items() if (at.kind, at.key) == ("user", BIG) and first <= at.minute <= last
    }


def test_a_client_is_kept_and_replaced(store: Store) -> None:
    bare = ClientRow("rc_1", "bare", "acme", ("report", "score"), created_at=1, expires_at=9)
    full = replace(
        bare,
        id="rc_2",
        digest=b"d",
        old_digest=b"o",
        old_until=5,
        jwks="{}",
        certificate="c",
        one_time=True,
        created_at=2,
    )

    for row in (full, bare):
        store.put_client(row)
    changed = replace(bare, revoked_at=7)
    store.put_client(changed)

    assert store.clients() == [changed, full]
    assert store.client("rc_2") == full
    assert store.client("rc_3") is None


def test_one_signing_key_has_a_number_and_old_ones_are_forgotten(store: Store) -> None:
    keys = [SigningKeyRow(kind, number, b"s", "p", number) for kind in ("a", "b") for number in (1, 2, 3)]
    for row in keys:
        store.add_signing_key(row, forget_below=0)

    with pytest.raises(Conflict):
        store.add_signing_key(keys[0], forget_below=3)
    store.add_signing_key(SigningKeyRow("a", 4, b"s", "p", 4), forget_below=3)

    assert [row.number for row in store.signing_keys("a")] == [3, 4]
    assert store.signing_keys("b") == keys[3:]


def test_a_one_time_token_is_spent_once_unless_that_is_undone(store: Store) -> None:
    first, second = b"\0\0\0\0\0\1first", b"\0\0\0\0\0\2second"
    with store.transaction() as tx:
        assert tx.spend([(first, b"a", 1), (second, b"b", 2)]) == {}
    with store.transaction() as tx:
        assert tx.spend([(first, b"c", 3), (b"\0\0\0\0\0\3third", b"d", 4)]) == {first: (b"a", 1)}
        tx.unspend([b"\0\0\0\0\0\3third"])
    with suppress(ZeroDivisionError), store.transaction() as tx:
        tx.spend([(b"\0\0\0\0\0\4fourth", b"e", 5)])
        raise ZeroDivisionError

    with store.transaction() as tx:
        assert tx.spend([(b"\0\0\0\0\0\3third", b"f", 6), (b"\0\0\0\0\0\4fourth", b"g", 7)]) == {}


def test_spent_tokens_are_forgotten_once_they_have_expired(store: Store) -> None:
    ids = [at.to_bytes(6) + b"x" for at in (1, 2, 3)]
    with store.transaction() as tx:
        tx.spend([(each, b"a", 1) for each in ids])

    assert store.forget_spent(3, 1) == 1
    assert store.forget_spent(3, 10) == 1

    with store.transaction() as tx:
        assert tx.spend([(each, b"b", 2) for each in ids]) == {ids[2]: (b"a", 1)}
