"""Blocks: what they hold and for how long, on every store that servers share, and what they teach nobody."""

from dataclasses import replace
from typing import Any

import pytest

from riskengine.audit import Audit
from riskengine.blocklist import Blocklist, Watch, parse_order
from riskengine.compare.stored import Retained, decided_again
from riskengine.engine.arrival import Arrival
from riskengine.engine.block import parse_target
from riskengine.errors import Conflict, InvalidInput, NotFound
from riskengine.event import DAY_MS, Event
from riskengine.policy.policy import Policy
from riskengine.store.memory import MemoryStore
from riskengine.store.sql import SqlStore
from tests.doors import ADDRESSES, EPOCH, SEAL, arrivals_of, default_policy, engine_over
from tests.fixtures_geo import World

HOUR_MS = 3_600_000
TOKYO = ADDRESSES["tokyo"]


@pytest.fixture
def blocklist(sql_store: SqlStore) -> Blocklist:
    return Blocklist(sql_store, SEAL, Audit(sql_store, SEAL))


def login(number: int, user: str = "ana", ip: str = TOKYO, **given: Any) -> Event:
    return Event(user, ip, f"e{number}", EPOCH + number * 60_000, **given)


def order(value: str, span: str = "24h") -> Any:
    return parse_order({"value": value, "for": span, "why": "ticket 4711"})


def decided(
    store: SqlStore | MemoryStore,
    world: World,
    events: list[Event],
    watch: Watch,
    policy: Policy | None = None,
    realm: str = "default",
    **given: Any,
) -> list[Any]:
    engine = engine_over(store, world, policy)
    engine.heed(watch.blocks)
    return engine.run([replace(one, realm=realm, **given) for one in arrivals_of(events)])


def watching(store: SqlStore, at: int = EPOCH) -> Watch:
    watch = Watch(store, SEAL)
    watch.refresh(at)
    return watch


@pytest.mark.parametrize(
    ("value", "holds", "spares"),
    [
        pytest.param("198.51.100.0/26", login(1), login(2, ip=ADDRESSES["lisbon"]), id="network"),
        pytest.param(TOKYO, login(1), login(2, ip="198.51.100.11"), id="address"),
        pytest.param("::ffff:198.51.100.0/122", login(1), login(2, ip="2001:db8::1"), id="mapped_network"),
        pytest.param("2001:db8:7::/48", login(1, ip="2001:db8:7:1::5"), login(2, ip="2001:db8:8::5"), id="ipv6"),
        pytest.param("AS4713", login(1), login(2, ip=ADDRESSES["new_york"]), id="asn"),
        pytest.param("user:ana", login(1), login(2, "ben"), id="user"),
        pytest.param("device:d1", login(1, device_id="d1"), login(2, device_id="d2"), id="device"),
    ],
)
def test_a_block_denies_what_it_names_and_nothing_else(
    sql_store: SqlStore, blocklist: Blocklist, world: World, value: str, holds: Event, spares: Event
) -> None:
    made = blocklist.add(order(value), "default", "ops", EPOCH)

    held, spared = decided(sql_store, world, [holds, spares], watching(sql_store))

    assert held["decision"] == "deny"
    assert held["reasons"][0] == {
        "code": "blocked",
        "message": "Blocked until 2026-03-05 00:00 UTC: ticket 4711",
        "points": 0.0,
        "evidence": {
            "block": made.id,
            "by": made.target.kind,
            "until": "2026-03-05T00:00:00.000Z",
            "why": "ticket 4711",
        },
    }
    assert "blocked" not in str(spared["reasons"])


def test_a_block_holds_the_logins_of_its_realm_alone(sql_store: SqlStore, blocklist: Blocklist, world: World) -> None:
    for value in (TOKYO, "AS4713", "user:ana", "device:d1"):
        blocklist.add(order(value), "other", "ops", EPOCH)
    watch = watching(sql_store)

    [ours] = decided(sql_store, world, [login(1, device_id="d1")], watch)
    [theirs] = decided(sql_store, world, [login(2, device_id="d1")], watch, realm="other")

    assert (ours["decision"], theirs["decision"]) == ("allow", "deny")


def test_what_counts_is_when_a_login_arrives_and_not_the_time_that_it_states(
    sql_store: SqlStore, blocklist: Blocklist, world: World
) -> None:
    blocklist.add(order(TOKYO, "1h"), "default", "ops", EPOCH)
    watch = watching(sql_store)

    [late] = decided(sql_store, world, [login(1)], watch, received_at=EPOCH + HOUR_MS)
    [early] = decided(sql_store, world, [login(90)], watch, received_at=EPOCH + HOUR_MS - 1)

    assert (late["decision"], early["decision"]) == ("allow", "deny")


def test_of_several_blocks_the_one_that_lasts_longest_is_told(
    sql_store: SqlStore, blocklist: Blocklist, world: World
) -> None:
    blocklist.add(order("198.51.100.0/24", "1h"), "default", "ops", EPOCH)
    lasting = blocklist.add(order("user:ana", "7d"), "default", "ops", EPOCH)
    blocklist.add(order("198.51.0.0/16", "2h"), "default", "ops", EPOCH)

    [answer] = decided(sql_store, world, [login(1)], watching(sql_store))

    assert answer["reasons"][0]["evidence"]["block"] == lasting.id


def test_any_split_of_a_sequence_gives_equal_answers(sql_store: SqlStore, blocklist: Blocklist, world: World) -> None:
    blocklist.add(order(TOKYO), "default", "ops", EPOCH)
    watch = watching(sql_store)
    places = ("new_york", "tokyo", "tokyo", "new_york", "lisbon", "tokyo")
    events = [login(n, "ana" if n % 2 else "ben", ADDRESSES[place]) for n, place in enumerate(places * 3)]

    at_once, one_by_one = MemoryStore(), MemoryStore()
    whole = decided(at_once, world, events, watch)
    single = [answer for event in events for answer in decided(one_by_one, world, [event], watch)]

    assert single == whole
    assert [answer["decision"] == "deny" for answer in whole] == [place == "tokyo" for place in places * 3]


def test_without_the_store_a_block_holds_all_the_same(sql_store: SqlStore, blocklist: Blocklist, world: World) -> None:
    blocklist.add(order("user:ana"), "default", "ops", EPOCH)
    engine = engine_over(sql_store, world)
    engine.heed(watching(sql_store).blocks)

    [(answer, _)] = engine.fallback(arrivals_of([login(1)]), "store")

    assert (answer["decision"], answer["reasons"][0]["code"]) == ("deny", "blocked")


def test_while_observing_a_block_denies_nothing_and_says_what_it_would_have(
    sql_store: SqlStore, blocklist: Blocklist, world: World
) -> None:
    blocklist.add(order("user:ana"), "default", "ops", EPOCH)

    observing = replace(default_policy(), mode="observe")
    [answer] = decided(sql_store, world, [login(1)], watching(sql_store), observing)

    assert (answer["decision"], answer["would_be"]) == ("allow", "deny")


def test_what_a_block_denied_teaches_nothing(sql_store: SqlStore, blocklist: Blocklist, world: World) -> None:
    blocklist.add(order(TOKYO), "default", "ops", EPOCH)
    watch = watching(sql_store)

    decided(sql_store, world, [login(1)], watch)
    [after] = decided(sql_store, world, [login(2, ip=ADDRESSES["new_york"])], watch)

    assert after["maturity"] == "none"


def test_a_comparison_with_what_is_stored_denies_again_what_a_block_denied(
    sql_store: SqlStore, blocklist: Blocklist, world: World
) -> None:
    blocklist.add(order(TOKYO), "default", "ops", EPOCH)
    events = [login(1, ip=ADDRESSES["new_york"]), login(2), login(3, ip=ADDRESSES["new_york"])]
    decided(sql_store, world, events, watching(sql_store))

    again = engine_over(MemoryStore(), world)
    pairs = list(decided_again(sql_store, SEAL, again, Retained(), lambda done: None))

    assert [one.after for one in pairs] == [one.before for one in pairs]
    assert [one.after["decision"] for one in pairs] == ["allow", "deny", "allow"]


def test_servers_take_up_what_is_added_lifted_and_expired(sql_store: SqlStore, blocklist: Blocklist) -> None:
    watch = Watch(sql_store, SEAL)
    assert not watch.refresh(EPOCH)

    first = blocklist.add(order(TOKYO, "1h"), "default", "ops", EPOCH)
    blocklist.add(order("user:ben", "2h"), "default", "ops", EPOCH)
    assert watch.refresh(EPOCH)
    assert not watch.refresh(EPOCH), "nothing is read anew"
    blocklist.lift(first.id, "default", "ops", EPOCH)
    assert watch.refresh(EPOCH)
    assert watch.refresh(EPOCH + 2 * HOUR_MS)
    assert not watch.refresh(EPOCH + 2 * HOUR_MS)


def test_a_store_that_does_not_answer_leaves_what_there_was(sql_store: SqlStore, blocklist: Blocklist) -> None:
    blocklist.add(order(TOKYO), "default", "ops", EPOCH)
    watch = watching(sql_store)
    before = watch.blocks
    sql_store.close()

    assert not watch.refresh(EPOCH)
    assert watch.blocks is before


def test_it_is_listed_lifted_once_and_audited(sql_store: SqlStore, blocklist: Blocklist) -> None:
    made = blocklist.add(order("user:ana"), "default", "ops", EPOCH)

    assert [one.id for one in blocklist.listed("default", "ops", EPOCH)] == [made.id]
    lifted = blocklist.lift(made.id, "default", "eve", EPOCH + 1)
    assert blocklist.lift(made.id, "default", "eve", EPOCH + 2) == lifted
    assert lifted.lifted_at == EPOCH + 1
    assert blocklist.listed("default", "ops", EPOCH + 3) == []
    assert blocklist.listed("default", "ops", EPOCH + 3, every=True) == [lifted]
    assert blocklist.listed("other", "ops", EPOCH + 3, every=True) == []
    with pytest.raises(NotFound):
        blocklist.lift(made.id, "other", "eve", EPOCH)
    trail = [(line.action, line.actor) for line in sql_store.audit_lines() if line.action != "block.list"]
    assert trail == [("block.add", "ops"), ("block.lift", "eve")]


def test_names_lie_sealed(sql_store: SqlStore, blocklist: Blocklist) -> None:
    for value in ("user:ana.costa", "device:laptop-77", "198.51.100.0/24"):
        blocklist.add(order(value), "default", "ops", EPOCH)

    with sql_store.reading() as connection:
        stored = str([tuple(row) for row in connection.exec_driver_sql("SELECT * FROM blocks")])
    for name in ("ana.costa", "laptop-77", "198.51.100", "4711"):
        assert name not in stored


def test_there_are_only_so_many_at_once(
    sql_store: SqlStore, blocklist: Blocklist, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("riskengine.blocklist.MOST", 2)
    for user in ("user:a", "user:b"):
        blocklist.add(order(user, "1h"), "default", "ops", EPOCH)

    with pytest.raises(Conflict, match="2 blocks are in force"):
        blocklist.add(order("user:c"), "default", "ops", EPOCH)
    blocklist.add(order("user:c"), "default", "ops", EPOCH + HOUR_MS)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        pytest.param({"value": "10.0.0.0/7"}, "/value is wider than a /8", id="too_wide"),
        pytest.param({"value": "2000::/18"}, "/value is wider than a /19", id="too_wide_6"),
        pytest.param({"value": "127.0.0.1"}, "/value holds the addresses of a server itself", id="loopback"),
        pytest.param({"value": "::/64"}, "/value holds the addresses of a server itself", id="loopback_6"),
        pytest.param({"value": "example.com"}, "/value must be an address, a CIDR", id="host_name"),
        pytest.param({"value": "AS0"}, "/value must be the number", id="no_asn"),
        pytest.param({"value": "user:"}, "/value must have 1 to 256", id="nobody"),
        pytest.param({"value": 7}, "/value must be a string", id="number"),
        pytest.param({"for": "5s"}, "/for must be a length of time", id="no_span"),
        pytest.param({"for": "91d"}, "/for must lie between 1m and 90d", id="too_long"),
        pytest.param({"for": "0h"}, "/for must lie between 1m and 90d", id="no_time"),
        pytest.param({"why": " "}, "/why", id="no_reason"),
        pytest.param({"why": None}, "/why is required", id="why_missing"),
        pytest.param({"until": "x"}, "/until is not a field", id="unknown_field"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_by_name(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(InvalidInput, match=fault):
        parse_order({"value": "198.51.100.1", "for": "1h", "why": "x"} | given)


@pytest.mark.parametrize("value", ["10.0.0.0/7", "127.0.0.1", "::/0"])
def test_what_is_risky_takes_force(value: str) -> None:
    found = parse_order({"value": value, "for": "90d", "why": "x", "force": True})

    assert (found.target, found.span) == (parse_target(value), 90 * DAY_MS)


def test_everybody_can_be_shut_out_with_force(sql_store: SqlStore, blocklist: Blocklist, world: World) -> None:
    for value in ("0.0.0.0/0", "::/0"):
        given = {"value": value, "for": "1h", "why": "x", "force": True}
        blocklist.add(parse_order(given), "default", "ops", EPOCH)

    found = decided(sql_store, world, [login(1), login(2, ip="2001:db8::5")], watching(sql_store))

    assert [answer["decision"] for answer in found] == ["deny", "deny"]


def test_an_arrival_that_no_block_held_is_none() -> None:
    assert Arrival("default", login(1), EPOCH).block is None
