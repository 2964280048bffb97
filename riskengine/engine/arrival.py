"""What reaches the engine: an event, a report or a remedy, with whose it is and when it came."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from riskengine.engine.block import Block
from riskengine.event import Event, Report, arrive, at_time


@dataclass(frozen=True, slots=True)
class Remedy:
    """The end of "at risk" for one user, by hand, at `at` ms since 1970."""

    user_id: str
    at: int


@dataclass(frozen=True, slots=True)
class Journaled:
    """An event that was answered without the store: its answer is final, and it is saved as it was given."""

    event: Event
    answer: Mapping[str, Any]
    item: bytes


@dataclass(slots=True)
class Ticket:
    """The one-time token that an event was sent with, by its id. `spent_at`: when it was spent, None until then."""

    id: bytes
    spent_at: int | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """One item of the sequence on its way in. `body` is complete: its event id and its time are set.

    `reports`: the caller reports how step-ups end. `who` is the caller's name, for the report's record. `text` is an
    event as it was given, see `canonical`. `ticket` is spent as the event is saved. `block` is the one that held an
    event which was decided before. `bulk` is the id of the verdict over a search that a report is part of.
    """

    realm: str
    body: Event | Report | Remedy | Journaled
    received_at: int
    reports: bool = False
    who: str = ""
    degraded: tuple[str, ...] = ()
    text: bytes = b""
    ticket: Ticket | None = None
    block: Block | None = None
    bulk: str | None = None


def receive(event: Event, realm: str, now: int, reports: bool, ticket: Ticket | None = None) -> Arrival:
    """Return a live event's arrival at `now`; InvalidInput where its time is out of bounds."""
    occurred_at, clamped = arrive(event.occurred_at, now)
    named = event if event.event_id else replace(event, event_id=_new_id(now))
    whole = at_time(named, occurred_at)
    degraded = ("clock",) if clamped else ()
    return Arrival(realm, whole, now, reports, degraded=degraded, text=canonical(named), ticket=ticket)


def _new_id(now: int) -> str:
    """Return an event id of 32 hexadecimal digits, the first 12 of them the time: see `Seal.near_index`."""
    return f"{now:012x}{uuid.uuid4().hex[12:]}"


def receive_report(report: Report, realm: str, now: int, who: str) -> Arrival:
    """Return a live report's arrival at `now`; InvalidInput where its time is out of bounds."""
    at, _ = arrive(report.at, now, "/at")
    return Arrival(realm, replace(report, at=at), now, who=who)


def canonical(event: Event) -> bytes:
    """Return an event as one text that is equal for equal bodies: of the event as given, its time the one stated and
    not the one we set or set back, so that a retry is the same body."""
    return msgspec.json.encode(event, order="sorted")
