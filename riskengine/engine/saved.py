"""Between what the engine works on and what the store keeps: rows sealed on the way in, opened on the way out."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from riskengine.batch import Batch
from riskengine.check import format_time
from riskengine.compression import compressed, expanded
from riskengine.engine.admit import Entry
from riskengine.engine.answer import reasons_in_clear
from riskengine.engine.arrival import Arrival, Journaled
from riskengine.engine.rows import pack_items, report_row, unpack_item
from riskengine.event import Event, Mfa, NetworkClaim, Position, Report, Rtt
from riskengine.history.record import Records, pack, unpack
from riskengine.seal import Seal
from riskengine.store.contract import EventRow, HistoryRow, ReportRow, Transaction


def event_row(one: Entry, row_id: int, reply: Mapping[str, Any], item: bytes, seq: int, seal: Seal) -> EventRow:
    """Return the row of one decided event; `item` is its ITEM row, packed."""
    realm, event, tokens = one.arrival.realm, one.event, one.tokens
    place, network = reply["location"] or _NOWHERE, reply["network"]
    assert event.occurred_at is not None
    return EventRow(
        id=row_id,
        realm=realm,
        event_key=tokens.event_key,
        fingerprint=tokens.fingerprint,
        user_ref=tokens.user_ref,
        user_seq=seq,
        occurred_at=event.occurred_at,
        received_at=one.arrival.received_at,
        outcome=event.outcome,
        action=event.action,
        resource=event.resource,
        decision=reply["decision"],
        level=reply["level"],
        score=round(reply["score"] * 10),
        reasons=reasons_in_clear(reply),
        country=place["country"],
        city=place["city"],
        asn=network["asn"],
        network=network["kind"],
        source=reply["source"],
        policy=reply["policy"]["version"],
        login_index=tokens.login,
        device_index=tokens.device,
        session_index=tokens.session,
        address_index=tokens.address,
        raw=seal.seal(compressed(one.arrival.text), realm, "raw", row_id),
        assessment=seal.seal(compressed(_encode({"answer": reply, "item": item})), realm, "assessment", row_id),
    )


_encode = msgspec.msgpack.Encoder().encode
_NOWHERE: Mapping[str, Any] = {"country": None, "city": None}


def spelled(event: Event) -> dict[str, Any]:
    """Return an event as a caller would send it: times in RFC 3339, what is unknown left out."""
    return _spelled(msgspec.to_builtins(event))


def _spelled(fields: Mapping[str, Any]) -> dict[str, Any]:
    body = {name: value for name, value in fields.items() if value not in (None, [], {})}
    body["user_id"] = fields["user_id"]
    if "occurred_at" in body:
        body["occurred_at"] = format_time(body["occurred_at"])
    if isinstance(body.get("mfa"), dict) and body["mfa"]["at"] is not None:
        body["mfa"]["at"] = format_time(body["mfa"]["at"])
    return body


def opened(row: EventRow, seal: Seal) -> dict[str, Any]:
    """Return what an event's assessment holds: `answer` as given, and `item` (packed)."""
    text = expanded(seal.open(row.assessment, row.realm, "assessment", row.id))
    found: dict[str, Any] = msgspec.msgpack.decode(text)
    return found


def raw_of(row: EventRow, seal: Seal) -> dict[str, Any]:
    """Return an event as it was sent, its time filled in where the caller left that to us."""
    found: dict[str, Any] = msgspec.json.decode(expanded(seal.open(row.raw, row.realm, "raw", row.id)))
    if isinstance(found.get("occurred_at"), str):
        return found  # as earlier versions kept it
    return _spelled({**found, "occurred_at": row.occurred_at})


def report_detail(row: ReportRow, seal: Seal) -> dict[str, Any]:
    """Return who reported, and by which methods."""
    found: dict[str, Any] = msgspec.json.decode(seal.open(row.detail, row.realm, "report", row.id))
    return found


def made_report_row(
    arrival: Arrival, row_id: int, event: int | None, user: bytes, seq: int, result: str, at: int, seal: Seal
) -> ReportRow:
    """Return the row of one report or remedy."""
    body = arrival.body
    detail = {"by": arrival.who, "amr": body.amr if isinstance(body, Report) else ()}
    sealed = seal.seal(msgspec.json.encode(detail), arrival.realm, "report", row_id)
    return ReportRow(row_id, arrival.realm, event, user, seq, result, at, arrival.received_at, sealed, arrival.bulk)


def load_histories(tx: Transaction, users: Sequence[bytes], realm_of: Mapping[bytes, str], seal: Seal) -> Records:
    """Return the histories of these users, in order; a blank one for who is not known."""
    stored = tx.load_histories(users) if users else {}
    return unpack([_plain(stored.get(user), realm_of[user], seal) for user in users])


def _plain(row: HistoryRow | None, realm: str, seal: Seal) -> bytes | None:
    return None if row is None else seal.open(row.record, realm, "history", row.user_ref)


def history_rows(
    users: Sequence[bytes], records: Records, realm_of: Mapping[bytes, str], seal: Seal
) -> list[HistoryRow]:
    """Return the rows of these histories, sealed."""
    return [
        HistoryRow(user, realm_of[user], seq, seal.seal(record, realm_of[user], "history", user))
        for user, seq, record in zip(users, records["seq"].tolist(), pack(records), strict=True)
    ]


def items_of(events: Sequence[EventRow], reports: Sequence[ReportRow], seal: Seal) -> Batch:
    """Return all of a user's retained events and reports as items, in `user_seq` order: what a refold reads."""
    items = {row.id: unpack_item(opened(row, seal)["item"]) for row in events}
    ordered = [(row.user_seq, items[row.id]) for row in events]
    for report in reports:
        event = items.get(report.event) if report.event is not None else None
        if event is not None or report.event is None:
            ordered.append((report.user_seq, report_row(event, report.result, report.at)))
    return np.concatenate([row for _, row in sorted(ordered, key=lambda pair: pair[0])])


def journal_record(one: Entry, reply: Mapping[str, Any], item: np.ndarray) -> bytes:
    """Return what the journal keeps of an event that was answered without the store."""
    return msgspec.msgpack.encode(
        {
            "realm": one.arrival.realm,
            "received_at": one.arrival.received_at,
            "reports": one.arrival.reports,
            "text": one.arrival.text,
            "event": msgspec.to_builtins(one.event),
            "answer": reply,
            "item": pack_items(item)[0],
        }
    )


def from_journal(record: bytes) -> Arrival:
    """Return the arrival that a journal record holds."""
    kept = msgspec.msgpack.decode(record)
    event = kept["event"]
    kinds: tuple[tuple[str, type], ...] = (
        ("mfa", Mfa),
        ("network", NetworkClaim),
        ("position", Position),
        ("rtt", Rtt),
    )
    for name, kind in kinds:
        if event[name] is not None:
            event[name] = kind(**event[name])
    if event["mfa"] is not None:
        event["mfa"] = Mfa(event["mfa"].result, tuple(event["mfa"].amr), event["mfa"].at)
    event["groups"] = tuple(event["groups"])
    body = Journaled(Event(**event), kept["answer"], kept["item"])
    return Arrival(kept["realm"], body, kept["received_at"], kept["reports"], text=kept["text"])
