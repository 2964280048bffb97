"""The core itself, on rows no feeder would make: any split is the whole, and what a row may hold it can be asked."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.assess import Assessments, assess
from riskengine.batch import ITEM, Batch, Decision, Located, Names, Role, empty
from riskengine.event import ACTIONS, DAY_MS, OUTCOMES, REPORT_RESULTS, STEP_UP_RESULTS
from riskengine.history.learn import PASS_MS, SLACK_MS, fold
from riskengine.history.record import HABITS, NO_OFFSET, ROOM, Records, Status, blank
from riskengine.network import Kind
from riskengine.policy.parse import parse
from riskengine.policy.rule import MOST
from riskengine.settings import package_files
from tests.doors import default_policy
from tests.test_history import NEW_YORK, START, TOKYO, login

TEXT = (package_files("data") / "policy.toml").read_text()
GROUPS = "\n[groups.admins]\nstep_up = 25.0\nweights = { new_device = 60.0 }\n"
RULE = '[[rules]]\nname = "r{}"\nwhy = "Because."\nat_least = "step_up"\nwhen = {{ {} }}\n'
# As many rules as there may be, some of which hold now and then.
RULED = parse(TEXT + GROUPS + "".join(RULE.format(at, f"asns = [{at + 700}], score = {at}") for at in range(MOST)))
NAMES = Names(resources={"payroll": 0, "wiki": 1}, groups={("admins", "staff"): 0, ("staff",): 1}, edges={"fra": 0})
USERS = 4
# What of a decided event a report on it takes over.
DECIDED = ("decision", "contradicted", "kind", "radius", "hop", "sensitivity")
MOST_OF = {1: 2**8 - 1, 2: 2**16 - 1, 4: 2**32 - 1}


def fresh(**given: Any) -> Batch:
    """Return one login that nobody has decided on yet."""
    return login(**{"decision": Decision.UNDECIDED, "kind": 0, "radius": math.nan, "given_radius": 25.0, **given})


@st.composite
def logins(draw: st.DrawFn) -> Batch:
    """Return one login: of any year, from any place or none, of unknown and of greatest numbers."""
    key = st.sampled_from([0, 1, 2, 2**32 - 1])
    item = fresh(
        user=draw(st.integers(-1, USERS - 1)),
        mfa=draw(st.integers(0, 2)),
        outcome=draw(st.integers(0, len(OUTCOMES) - 1)),
        action=draw(st.integers(0, len(ACTIONS) - 1)),
        given_radius=draw(st.sampled_from([math.nan, 0.0, 25.0, 3000.0])),
        traits=draw(st.sampled_from([0, 0, 1, 2, 256, 2**15])),
        asn=draw(st.sampled_from([0, 701, 2**32 - 1])),
        country=draw(st.sampled_from([0, 0x5553, 2**16 - 1])),
        prefix=draw(key),
        line=draw(key),
        device=draw(key),
        agent=draw(key),
        offset=draw(st.sampled_from([math.nan, -720.0, 0.0, 840.0])),
        client_offset=draw(st.sampled_from([math.nan, 0.0, 840.0])),
        rtt=draw(st.sampled_from([math.nan, 0.0, 12.0])),
        edge=draw(st.integers(-1, 0)),
        groups=draw(st.integers(-1, 1)),
        resource=draw(st.integers(-1, 1)),
        address_high=draw(st.sampled_from([0, 2**63, 2**64 - 1])),
        user_failures=draw(st.sampled_from([0, 5, 2**31 - 1])),
        line_regulars=draw(st.sampled_from([0, 9, 2**31 - 1])),
        reports=draw(st.booleans()),
    )
    places = [NEW_YORK, TOKYO, (0.0, 180.0), (-90.0, 0.0), (math.nan, math.nan)]
    item["latitude"], item["longitude"] = draw(st.sampled_from(places))
    if math.isnan(item["latitude"][0]):
        item["located"] = Located.UNKNOWN
    time = draw(st.sampled_from([-40_000, 0, 20_000])) * DAY_MS + draw(st.integers(0, 30 * 86_400)) * 1000
    item["time"] = item["event_time"] = item["mfa_at"] = time
    return item


@st.composite
def sequences(draw: st.DrawFn) -> Batch:
    """Return a sequence of logins of several users, and of reports on those of them who are somebody."""
    items: list[Batch] = []
    for row in range(draw(st.integers(0, 20))):
        known = [at for at, item in enumerate(items) if item["role"][0] == Role.EVENT and item["user"][0] >= 0]
        if known and draw(st.integers(0, 3)) == 0:
            source = draw(st.sampled_from(known[-5:]))
            item = items[source].copy()
            item["role"], item["source"] = Role.REPORT, source
            item["result"] = draw(st.integers(0, len(REPORT_RESULTS) - 1))
            item["time"] += draw(st.sampled_from([60_000, -SLACK_MS, -SLACK_MS - 1, PASS_MS, PASS_MS + 1]))
        else:
            item = draw(logins())
            item["row"] = item["event"] = row + 1
        items.append(item)
    return np.concatenate([empty(0), *items])


def in_parts(items: Batch, cuts: list[int]) -> tuple[list[Assessments], Records, np.ndarray]:
    """Return the assessments of the parts of a sequence, what is learned of it, and which items were in any part.

    A feeder tells a report what was decided of an event in an earlier batch, and leaves out one that answers nothing.
    """
    records, whole, parts = blank(USERS), items.copy(), []
    kept = np.ones(len(items), bool)
    for start, end in zip([0, *cuts], [*cuts, len(items)], strict=True):
        for at in range(start, end):
            source = whole["source"][at]
            if 0 <= source < start:
                for name in DECIDED:
                    whole[name][at] = whole[name][source]
                whole["source"][at], kept[at] = -1, counts(whole[at])
        chosen = np.flatnonzero(kept[start:end]) + start
        part = whole[chosen]
        part["source"] = [np.searchsorted(chosen, at) if at >= 0 else -1 for at in part["source"]]
        parts.append(assess(part, NAMES, records, RULED, shadow=default_policy()))
        whole[chosen] = parts[-1].items
        whole["source"] = items["source"]
    return parts, records, kept


def counts(report: np.void) -> bool:
    """Return whether a report on an earlier event may count."""
    took = report["time"] - report["event_time"]
    in_time = took >= -SLACK_MS and (report["result"] != 0 or took <= PASS_MS)
    return bool(report["result"] >= len(STEP_UP_RESULTS) or (report["decision"] == Decision.STEP_UP and in_time))


def rows_of(parts: list[Assessments]) -> list[bytes]:
    """Return all that is found of each item, to the bit."""
    return [
        b"".join([part.found.signals[at].tobytes(), part.found.points[at].tobytes(), part.verdicts[at].tobytes()])
        + (b"" if part.shadow is None else part.shadow[at].tobytes())
        + b"".join(part.items[name][at].tobytes() for name in ITEM.names or () if name != "source")
        for part in parts
        for at in range(len(part.items))
    ]


@given(sequences(), st.data())
def test_any_split_finds_the_same_and_learns_the_same(items: Batch, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(items)), max_size=4)))
    whole, learned, _ = in_parts(items, [])
    for split in (cuts, list(range(1, len(items)))):
        parts, records, kept = in_parts(items, split)

        assert rows_of(parts) == [row for row, there in zip(rows_of(whole), kept, strict=True) if there]
        assert records.tobytes() == learned.tobytes()


@given(sequences())
def test_what_is_assessed_is_as_it_says(items: Batch) -> None:
    found = assess(items, NAMES, blank(USERS), RULED)
    events = items["role"] == Role.EVENT
    signals, points = found.found.signals[events], found.found.points[events]

    assert ((signals >= 0) & (signals <= 1) | np.isnan(signals)).all()
    assert not np.signbit(signals[signals == 0]).any()
    assert points.sum(axis=1).tolist() == found.verdicts["score"][events].tolist()
    assert (points >= 0).all()
    assert (found.verdicts["score"] <= 1000).all()
    assert np.isin(found.items["decision"][events], (Decision.ALLOW, Decision.STEP_UP, Decision.DENY)).all()


def test_a_batch_is_left_as_it_was_and_may_be_read_only() -> None:
    items = np.concatenate([fresh(), fresh(day=1)])
    before = items.tobytes()
    items.flags.writeable = False
    found = assess(items, Names(), blank(1), default_policy())

    assert items.tobytes() == before
    assert found.verdicts["seq"].tolist() == [1, 2]
    decided = found.items
    decided.flags.writeable = False
    assert fold(decided)["seq"].tolist() == [2]


def test_no_items_and_no_users_are_nothing() -> None:
    found = assess(empty(0), Names(), blank(0), default_policy(), shadow=RULED)

    assert len(found.items) == len(found.verdicts) == 0
    assert found.shadow is not None
    assert len(found.shadow) == 0


def test_histories_are_those_of_a_slice() -> None:
    records, alone = blank(3), blank(1)
    assess(fresh(), Names(), records[1:2], default_policy())
    assess(fresh(), Names(), alone, default_policy())

    assert records[1].tobytes() == alone[0].tobytes()
    assert records[[0, 2]].tobytes() == blank(2).tobytes()


def test_histories_that_are_not_one_stretch_are_refused() -> None:
    sealed = blank(1)
    sealed.flags.writeable = False
    for records in (blank(4)[::2], sealed):
        with pytest.raises(ValueError, match="one writable stretch"):
            assess(fresh(), Names(), records, default_policy())


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"user": 1}, id="a_user_without_a_history"),
        pytest.param({"groups": 3}, id="groups_that_nobody_named"),
        pytest.param({"resource": 3}, id="a_resource_that_nobody_named"),
        pytest.param({"edge": 2}, id="an_edge_that_nobody_named"),
        pytest.param({"kind": len(Kind)}, id="a_kind_of_network_that_is_not_there"),
        pytest.param({"action": len(ACTIONS)}, id="an_action_that_is_not_there"),
        pytest.param({"role": Role.REPORT, "source": 1}, id="a_report_on_what_is_not_there"),
    ],
)
def test_what_points_beyond_is_an_error_and_no_other_memory(given: dict[str, Any]) -> None:
    with pytest.raises(IndexError):
        assess(fresh(**given), NAMES, blank(1), RULED)


@given(st.data())
def test_the_greatest_counts_are_counted_on(data: st.DataObject) -> None:
    """Counts stop, fade or begin again; a record remains one that can be read."""
    records = blank(1)
    for name in (*ROOM, "hops"):
        slots = records[name][0]
        for field in ("count", "days", "last_day", "since", "streak"):
            most = MOST_OF[slots.dtype[field].itemsize]
            slots[field] = [data.draw(st.sampled_from([0, 1, most - 1, most])) for _ in slots]
        slots["status"] = data.draw(st.integers(0, 3))
        slots["key"] = data.draw(st.sampled_from([1, 2, 701]))
    records["shown"], records["news"] = 255, data.draw(st.sampled_from([0, 255]))
    records["churn"], records["ignored"] = 255, data.draw(st.sampled_from([0, 254, 255]))
    records["claims_of"] = records["claims"] = 199
    for day in range(3):
        assess(fresh(day=day, mfa=data.draw(st.integers(0, 2)), rtt=1.0), NAMES, records, RULED)

    assert records["seq"][0] == 3
    assert (records["shown"] < 256).all()
    assert (records["news"] <= records["shown"]).all()
    assert len(records["shown"][0]) == len(HABITS)
    assert records["claims_of"][0] < 200
    assert records["ignored"][0] <= 255
    assert all((records[name]["status"] <= Status.TRUSTED).all() for name in ROOM)


@pytest.mark.parametrize("year_day", [-40_000, -1, 0, 65_535, 70_000])
def test_days_are_those_that_a_record_can_keep(year_day: int) -> None:
    records, item = blank(1), fresh(mfa=1)
    item["time"] = item["event_time"] = item["mfa_at"] = year_day * DAY_MS
    assess(item, Names(), records, default_policy())

    assert records["last_day"][0] == min(max(year_day, 0), 65_535)
    assert records["learned"][0] == 1
    assert records["zone"][0] == NO_OFFSET


@pytest.mark.parametrize("high", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_an_address_of_128_bits_is_told_from_one_of_32(high: int) -> None:
    records = blank(1)
    assess(fresh(mfa=1, mfa_at=START, address_high=high), Names(), records, default_policy())

    assert bool(records["stays"]["six"][0, 0]) is (high > 0)


@pytest.mark.parametrize("event", [1, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_report_finds_its_step_up_by_a_key_of_64_bits(event: int) -> None:
    records = blank(1)
    asked = fresh(decision=Decision.STEP_UP, kind=Kind.BROADBAND, event=event)
    other = fresh(decision=Decision.STEP_UP, kind=Kind.BROADBAND, event=event ^ 1)
    report = asked.copy()
    report["role"], report["result"] = Role.REPORT, REPORT_RESULTS.index("step_up_passed")
    report["time"] += 60_000
    assess(np.concatenate([asked, other, report]), Names(), records, default_policy())

    assert sorted(records["pending"]["event"][0].tolist())[-1] == event ^ 1
    assert (records["pending"]["state"] > 0).sum() == 1


def test_each_of_as_many_rules_as_there_may_be_has_a_bit_of_its_own() -> None:
    for at in (0, 1, MOST - 1):
        item = fresh(asn=at + 700, traits=2, groups=-1)
        [verdict] = assess(item, NAMES, blank(1), RULED).verdicts
        bits = int(verdict["rules"])
        assert bits >> 8 == (1 << at if verdict["score"] >= at * 10 else 0)
