"""The law: any split of a sequence into batches gives equal decisions, scores and reasons."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from riskengine.engine.arrival import Arrival, Remedy
from riskengine.engine.engine import Engine
from riskengine.engine.saved import items_of
from riskengine.engine.segment import Outcome
from riskengine.event import REPORT_RESULTS, Event, Mfa, NetworkClaim, Report
from riskengine.history.learn import fold
from riskengine.history.record import pack
from tests.doors import ADDRESSES, EPOCH, SEAL, arrivals_of, memory_engine
from tests.fixtures_geo import World

MINUTE = 60_000
USERS = ("ana", "ben", "eve")


@st.composite
def sequences(draw: st.DrawFn) -> list[Arrival]:
    """Return a sequence of several users: shared addresses, failures, late events, repeats, reports and remedies."""
    arrivals: list[Arrival] = []
    events: list[Event] = []
    clock = EPOCH
    for number in range(draw(st.integers(2, 28))):
        clock += draw(st.sampled_from([0, MINUTE, 10 * MINUTE, 16 * MINUTE, 600 * MINUTE, 3000 * MINUTE]))
        what = draw(st.sampled_from("eeeeerrrvm"))
        if what == "m":
            arrivals.append(Arrival("default", Remedy(draw(st.sampled_from(USERS)), clock), clock, who="test"))
        elif what in "rv" and events:
            results = REPORT_RESULTS[:3] if what == "r" else REPORT_RESULTS[3:6]
            event = draw(st.sampled_from(events[-6:]))
            report = Report(event.event_id or "", draw(st.sampled_from(results)), at=clock)
            arrivals += arrivals_of([report])
        else:
            late = draw(st.sampled_from([0, 0, 0, MINUTE, 30 * MINUTE, 900 * MINUTE]))
            event = _event(draw, number, clock - late)
            if events and draw(st.integers(0, 9)) == 0:
                event = replace(draw(st.sampled_from(events)))
            events.append(event)
            arrivals += arrivals_of([event], reports=draw(st.booleans()))
    return arrivals


def _event(draw: st.DrawFn, number: int, at: int) -> Event:
    user = draw(st.sampled_from((*USERS, *USERS, None)))
    return Event(
        event_id=f"e{number}",
        user_id=user,
        ip=ADDRESSES[draw(st.sampled_from(sorted(ADDRESSES)))],
        occurred_at=at,
        outcome="failure" if user is None else draw(st.sampled_from(["success", "success", "failure", "unknown"])),
        mfa=draw(st.sampled_from([None, None, Mfa("passed"), Mfa("failed")])),
        action=draw(st.sampled_from(["login", "login", "access", "token_refresh", "password_reset"])),
        device_id=draw(st.sampled_from([None, "d1", "d2"])),
        user_agent=draw(st.sampled_from([None, "curl/8", "Mozilla/5.0 (X11; Linux) Firefox/140.0"])),
        resource=draw(st.sampled_from([None, "payroll", "wiki"])),
        network=draw(st.sampled_from([None, NetworkClaim(type="wifi", secured=False)])),
    )


def _plain(outcome: Outcome) -> object:
    return outcome if isinstance(outcome, dict) else (type(outcome).__name__, str(outcome))


def _run(engine: Engine, arrivals: list[Arrival], cuts: list[int]) -> list[object]:
    found: list[object] = []
    for start, end in zip([0, *cuts], [*cuts, len(arrivals)], strict=True):
        found += [_plain(outcome) for outcome in engine.run(arrivals[start:end])]
    return found


@settings(max_examples=150)
@given(sequences(), st.data())
def test_any_split_gives_the_same_answers(world: World, arrivals: list[Arrival], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(arrivals)), max_size=5)))
    whole, split, single = memory_engine(world), memory_engine(world), memory_engine(world)

    expected = _run(whole, arrivals, [])
    assert _run(split, arrivals, cuts) == expected
    assert _run(single, arrivals, list(range(1, len(arrivals)))) == expected


@given(sequences())
def test_folding_the_stored_items_again_gives_the_stored_history(world: World, arrivals: list[Arrival]) -> None:
    engine = memory_engine(world)
    engine.run(arrivals)

    with engine.store.transaction() as tx:
        for user in USERS:
            ref = engine.tokeniser.user_ref("default", user)
            for row in tx.load_histories([ref]).values():
                [stored] = pack(fold(items_of(*tx.items_of(ref), SEAL)))
                assert stored == SEAL.open(row.record, "default", "history", ref)


def test_the_law_is_not_kept_by_silence(world: World) -> None:
    """The sequences above do meet steps-up, denials of reports and refolds: this one names each once."""
    home = Event("ana", ADDRESSES["new_york"], event_id="a", occurred_at=EPOCH, mfa=Mfa("passed"))
    away = Event("ana", ADDRESSES["tokyo"], event_id="b", occurred_at=EPOCH + 10 * MINUTE)
    reports = [
        Report("b", "step_up_passed", at=EPOCH + 11 * MINUTE),
        Report("a", "step_up_passed", at=EPOCH + 12 * MINUTE),
        Report("b", "confirmed_compromised", at=EPOCH + 13 * MINUTE),
        Report("b", "confirmed_safe", at=EPOCH + 14 * MINUTE),
    ]
    answers = _run(memory_engine(world), arrivals_of([home, away, *reports]), [])

    decisions = [answer["decision"] for answer in answers[:2] if isinstance(answer, dict)]
    assert decisions == ["allow", "step_up"]
    assert [type(answer).__name__ for answer in answers[2:]] == ["dict", "tuple", "dict", "tuple"]


def test_a_report_ahead_of_its_event_is_on_nothing(world: World) -> None:
    event = Event("ana", ADDRESSES["new_york"], event_id="a", occurred_at=EPOCH)
    arrivals = arrivals_of([Report("a", "confirmed_safe", at=EPOCH), event])

    for cuts in ([], [1]):
        first, _ = _run(memory_engine(world), arrivals, cuts)
        assert first == ("NotFound", "there is no such event")


def test_a_repeat_is_compared_with_what_is_stored(world: World) -> None:
    event = Event("ana", ADDRESSES["new_york"], event_id="a", occurred_at=EPOCH)
    other = replace(event, ip=ADDRESSES["tokyo"])
    arrivals = arrivals_of([event, other, event])

    for cuts in ([], [1], [1, 2]):
        first, conflict, again = _run(memory_engine(world), arrivals, cuts)
        assert first == again
        assert isinstance(conflict, tuple)


def test_a_log_of_any_year_has_row_ids(world: World) -> None:
    late = [Event("ana", ADDRESSES["new_york"], event_id=str(i), occurred_at=253_402_300_000_000) for i in range(5000)]

    assert all(isinstance(answer, dict) for answer in _run(memory_engine(world), arrivals_of(late[:50]), [7, 9]))
